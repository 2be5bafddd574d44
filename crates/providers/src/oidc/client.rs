//! The provider's client: learns what the provider announces, trades codes, asks for what the ID token
//! leaves out. One call is one attempt.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use domain::oidc::{AuthorizePage, CodeExchange, Identity, IdentityProvider, OidcFault};
use domain::ports::PortFuture;
use domain::{Clock, SystemClock};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::config::{ConfigError, OidcConfig};
use super::discovery::{ClientAuth, Document, Metadata, location};
use super::http::{Answer, Http, refused};
use super::id_token::{Claims, Expected, Header, add_profile, read_header, verify};
use super::keys::{KeySet, Keys};

/// How long what the provider announces is believed. Its keys are asked for again at once when a token
/// names one that is not known.
pub const CACHE_FOR: TimeDelta = TimeDelta::minutes(10);

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Speaks with the configured provider. Cheap to clone; keep one for the process, since it holds the
/// connections and what the provider announced.
#[derive(Clone)]
pub struct OidcClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: OidcConfig,
    http: Http,
    clock: Arc<dyn Clock>,
    metadata: Cached<Metadata>,
    keys: Cached<Keys>,
}

/// A learnt thing and when it was learnt. Two callers may learn it at the same time; that does no harm.
struct Cached<T>(RwLock<Option<(DateTime<Utc>, Arc<T>)>>);

impl<T> Cached<T> {
    fn empty() -> Self {
        Self(RwLock::new(None))
    }

    fn get(&self, now: DateTime<Utc>) -> Option<Arc<T>> {
        let slot = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (at, thing) = slot.as_ref()?;
        let age = now.signed_duration_since(*at);
        // A negative age is a clock that was set back.
        (age >= TimeDelta::zero() && age < CACHE_FOR).then(|| Arc::clone(thing))
    }

    fn set(&self, now: DateTime<Utc>, thing: T) -> Arc<T> {
        let thing = Arc::new(thing);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&thing)));
        thing
    }
}

/// What the token endpoint gives. Refresh tokens are not even read.
#[derive(Deserialize)]
struct Tokens {
    id_token: Option<SecretString>,
    access_token: Option<SecretString>,
    token_type: Option<String>,
}

impl fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcClient").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl OidcClient {
    /// A client of the configured provider. Connects to nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that can't work.
    pub fn new(config: OidcConfig) -> Result<Self, ConfigError> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// A client with another source of time.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that can't work.
    pub fn with_clock(config: OidcConfig, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        config.check()?;
        let http = Http::new(config.time_limit)?;
        let (metadata, keys) = (Cached::empty(), Cached::empty());
        Ok(Self { inner: Arc::new(Inner { config, http, clock, metadata, keys }) })
    }
}

impl IdentityProvider for OidcClient {
    fn authorize_page(&self) -> PortFuture<'_, Result<AuthorizePage, OidcFault>> {
        Box::pin(async move {
            let metadata = self.inner.metadata().await?;
            Ok(AuthorizePage {
                endpoint: metadata.authorization_endpoint.clone(),
                client_id: self.inner.config.client_id.clone(),
                scopes: self.inner.config.scopes.clone(),
            })
        })
    }

    fn exchange<'a>(&'a self, exchange: &'a CodeExchange) -> PortFuture<'a, Result<Identity, OidcFault>> {
        Box::pin(self.inner.exchange(exchange))
    }
}

impl Inner {
    async fn metadata(&self) -> Result<Arc<Metadata>, OidcFault> {
        let now = self.clock.now();
        if let Some(known) = self.metadata.get(now) {
            return Ok(known);
        }
        let request = self.http.client.get(location(&self.config.issuer)).header(ACCEPT, JSON);
        let document: Document = self
            .http
            .send(request, "the identity provider's discovery document")
            .await?
            .document("check COUNTERSIGN_OIDC_ISSUER")?
            .json()?;
        Ok(self.metadata.set(now, document.check(&self.config.issuer)?))
    }

    async fn keys(&self, metadata: &Metadata) -> Result<Arc<Keys>, OidcFault> {
        match self.keys.get(self.clock.now()) {
            Some(known) => Ok(known),
            None => self.fetch_keys(metadata).await,
        }
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<Arc<Keys>, OidcFault> {
        let now = self.clock.now();
        let request = self.http.client.get(metadata.jwks_uri.clone()).header(ACCEPT, JSON);
        let set: KeySet = self
            .http
            .send(request, "the identity provider's key address")
            .await?
            .document("it must give the provider's public keys")?
            .json()?;
        Ok(self.keys.set(now, set.into()))
    }

    async fn exchange(&self, exchange: &CodeExchange) -> Result<Identity, OidcFault> {
        let metadata = self.metadata().await?;
        // Before the trade: a code is not used up for nothing when the keys can't be had.
        let keys = self.keys(&metadata).await?;
        let tokens = self.trade(&metadata, exchange).await?;
        let id_token = tokens.id_token.as_ref().ok_or_else(|| {
            refused(
                "bad_answer",
                "the provider gave no ID token; is the scope `openid` allowed for this client?",
            )
        })?;
        let access_token = tokens.access_token.as_ref().map(ExposeSecret::expose_secret);

        let id_token = id_token.expose_secret();
        let header = read_header(id_token)?;
        let claims = self.verified(&metadata, &keys, id_token, &header).await?;
        claims.check(&Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &exchange.nonce,
            now: self.clock.now(),
        })?;
        claims.check_access_token(header.algorithm, access_token)?;

        let mut identity = claims.identity();
        let wants_email = self.config.scopes.split_ascii_whitespace().any(|scope| scope == "email");
        if identity.email.is_none()
            && wants_email
            && let Some(access_token) = access_token
        {
            self.ask_userinfo(&metadata, access_token, &mut identity).await?;
        }
        Ok(identity)
    }

    /// Checks the signature. A token that names an unknown key makes the keys be fetched again, once: the
    /// provider may just have changed them. Only the provider's own answers come here, so nobody else can
    /// drive these fetches.
    async fn verified(
        &self,
        metadata: &Metadata,
        known: &Keys,
        token: &str,
        header: &Header,
    ) -> Result<Claims, OidcFault> {
        let mut keys = known.fitting(header.algorithm, header.kid.as_deref());
        if keys.is_empty() {
            keys = self.fetch_keys(metadata).await?.fitting(header.algorithm, header.kid.as_deref());
        }
        if keys.is_empty() {
            return Err(refused(
                "unknown_key",
                "the ID token is signed with a key that the provider does not publish",
            ));
        }
        verify(token, header, &keys)
    }

    async fn trade(&self, metadata: &Metadata, exchange: &CodeExchange) -> Result<Tokens, OidcFault> {
        let (id, secret) = (&self.config.client_id, self.config.client_secret.expose_secret());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code.expose_secret()),
            ("redirect_uri", exchange.redirect_uri.as_str()),
            ("code_verifier", exchange.pkce_verifier.expose_secret()),
        ];
        let mut request = self
            .http
            .client
            .post(metadata.token_endpoint.clone())
            .header(ACCEPT, JSON)
            .header(CONTENT_TYPE, FORM);
        match metadata.client_auth {
            // Both are form-encoded before they are joined (RFC 6749, 2.3.1).
            ClientAuth::Basic => request = request.basic_auth(encoded(id), Some(encoded(secret))),
            ClientAuth::Post => {
                fields.extend([("client_id", id.as_str()), ("client_secret", secret)]);
            }
        }
        let request = request.body(form(&fields));
        let answer = self.http.send(request, "the identity provider's token endpoint").await?;
        if !answer.status.is_success() {
            return Err(token_refusal(&answer));
        }
        let tokens: Tokens = answer.json()?;
        match tokens.token_type.as_deref() {
            Some(kind) if kind.eq_ignore_ascii_case("bearer") => Ok(tokens),
            _ => Err(refused("unsupported", "the provider gave a token that is not of the type Bearer")),
        }
    }

    async fn ask_userinfo(
        &self,
        metadata: &Metadata,
        access_token: &str,
        identity: &mut Identity,
    ) -> Result<(), OidcFault> {
        let Some(endpoint) = metadata.userinfo_endpoint.clone() else { return Ok(()) };
        let request = self.http.client.get(endpoint).bearer_auth(access_token).header(ACCEPT, JSON);
        let claims: Map<String, Value> = self
            .http
            .send(request, "the identity provider's userinfo endpoint")
            .await?
            .document("it must accept the access token it was asked with")?
            .json()?;
        if claims.get("sub").and_then(Value::as_str) != Some(identity.subject.as_str()) {
            return Err(refused(
                "wrong_subject",
                "the provider's userinfo is about somebody else than its ID token",
            ));
        }
        add_profile(identity, &claims);
        Ok(())
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Why the token endpoint said no. Its description stays out: it may quote what was sent.
fn token_refusal(answer: &Answer) -> OidcFault {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let error = answer.json::<Refusal>().map(|refusal| refusal.error).unwrap_or_default();
    match (error.as_str(), answer.status.as_u16()) {
        ("invalid_grant", _) => refused(
            "invalid_grant",
            "the provider refused the code: it was used before, has expired, or belongs to another sign-in; \
             sign in again",
        ),
        ("invalid_client", _) | (_, 401) => refused(
            "invalid_client",
            "the provider does not accept this client; check COUNTERSIGN_OIDC_CLIENT_ID and \
             COUNTERSIGN_OIDC_CLIENT_SECRET",
        ),
        ("unauthorized_client", _) => refused(
            "unauthorized_client",
            "the provider does not let this client use the authorization code flow; allow it there",
        ),
        (_, status) => {
            refused("token_refused", format!("the provider's token endpoint answered {status} to the code"))
        }
    }
}
