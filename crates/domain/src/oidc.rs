//! Signing in through an identity provider (OpenID Connect, authorization code with PKCE): the port, and
//! the pure parts of the protocol.
//!
//! A worker talks to the provider. The API only builds the redirect from what a worker learnt
//! ([`AuthorizePage`]) and later reads the outcome, because it can't reach outside systems.
//! Refuses to decide who may come in: an [`Identity`] says who somebody is, not what they may do.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rand::CryptoRng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::ports::PortFuture;

/// Speaks with one identity provider.
pub trait IdentityProvider: Send + Sync + 'static {
    /// Where browsers are sent to sign in, as the provider announces it. Holds no secret: it may be kept.
    fn authorize_page(&self) -> PortFuture<'_, Result<AuthorizePage, OidcFault>>;

    /// The address one browser is sent to.
    fn authorize<'a>(&'a self, ask: &'a AuthorizeAsk) -> PortFuture<'a, Result<Url, OidcFault>> {
        Box::pin(async move { Ok(self.authorize_page().await?.url(ask)) })
    }

    /// Trades the code that a browser came back with for a checked identity.
    ///
    /// A code can be traded once. After [`OidcFault::Unreachable`] another try is harmless but may find
    /// the code used up (`invalid_grant`); then the person signs in again.
    fn exchange<'a>(&'a self, exchange: &'a CodeExchange) -> PortFuture<'a, Result<Identity, OidcFault>>;
}

/// What the redirect to a provider is built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizePage {
    /// The provider's authorization endpoint.
    pub endpoint: Url,
    /// Our client id there.
    pub client_id: String,
    /// Scopes, parted by spaces.
    pub scopes: String,
}

impl AuthorizePage {
    /// The address one browser is sent to.
    #[must_use]
    pub fn url(&self, ask: &AuthorizeAsk) -> Url {
        let mut url = self.endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &self.client_id)
                .append_pair("scope", &self.scopes)
                .append_pair("redirect_uri", ask.redirect_uri.as_str())
                .append_pair("state", &ask.state)
                .append_pair("nonce", &ask.nonce)
                .append_pair("code_challenge", &ask.pkce_challenge)
                .append_pair("code_challenge_method", "S256");
            if let Some(hint) = &ask.login_hint {
                query.append_pair("login_hint", hint);
            }
            if let Some(locale) = &ask.locale {
                query.append_pair("ui_locales", locale);
            }
        }
        url
    }
}

/// One person's wish to sign in.
#[derive(Clone)]
pub struct AuthorizeAsk {
    /// Where the provider sends the browser back to; registered there, letter by letter.
    pub redirect_uri: Url,
    /// Binds the way back to the browser that left ([`random_token`]).
    pub state: String,
    /// Binds the ID token to this sign-in ([`random_token`]).
    pub nonce: String,
    /// [`pkce_challenge`] of a verifier that is kept until the exchange.
    pub pkce_challenge: String,
    /// The address the person typed, if any.
    pub login_hint: Option<String>,
    /// The language the provider's pages should speak (BCP 47).
    pub locale: Option<String>,
}

impl fmt::Debug for AuthorizeAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeAsk")
            .field("redirect_uri", &self.redirect_uri.as_str())
            .finish_non_exhaustive()
    }
}

/// A code on its way back to the provider.
#[derive(Clone)]
pub struct CodeExchange {
    /// What the browser brought.
    pub code: SecretString,
    /// The same as in [`AuthorizeAsk::redirect_uri`].
    pub redirect_uri: Url,
    /// The verifier behind [`AuthorizeAsk::pkce_challenge`].
    pub pkce_verifier: SecretString,
    /// The same as in [`AuthorizeAsk::nonce`].
    pub nonce: String,
}

impl fmt::Debug for CodeExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeExchange")
            .field("redirect_uri", &self.redirect_uri.as_str())
            .finish_non_exhaustive()
    }
}

/// Who somebody is, as a provider vouches for it. The lasting name is (issuer, subject); an e-mail address
/// can be given to another person later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider, exactly as configured.
    pub issuer: String,
    /// The provider's lasting id of the person, 1 to 255 bytes.
    pub subject: String,
    /// E-mail address, if the provider told one that looks like one.
    pub email: Option<String>,
    /// Whether the provider says it has checked that address. Never link accounts by one it has not.
    pub email_verified: bool,
    /// Name for display, without control characters, at most 200 characters.
    pub name: Option<String>,
    /// How the person proved who they are, such as `pwd`, `otp` (RFC 8176); empty when not told.
    pub amr: Vec<String>,
    /// The class of that proof, in the provider's words.
    pub acr: Option<String>,
    /// When the person last proved who they are there.
    pub auth_time: Option<DateTime<Utc>>,
}

/// Why there is no identity. Messages are for people and hold no code, token or secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcFault {
    /// No provider is set up: permanent until an operator sets one.
    NotConfigured,
    /// The provider said no, or what it said can't be trusted: trying the same again won't help.
    Refused {
        /// Short, stable, snake_case: `invalid_grant`, `bad_signature`, `wrong_nonce` and the like.
        code: &'static str,
        /// What happened and what to do.
        message: String,
    },
    /// No usable answer: may be tried again.
    Unreachable {
        /// Short, stable, snake_case: `timeout`, `connect`, `tls`, `broken`, `busy`, `server_error`.
        code: &'static str,
        /// What happened and what to do.
        message: String,
    },
}

impl OidcFault {
    /// A stable name for logs, metrics and the screen.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Refused { code, .. } | Self::Unreachable { code, .. } => code,
        }
    }
}

impl fmt::Display for OidcFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str(
                "signing in through an identity provider is not set up; set COUNTERSIGN_OIDC_ISSUER, \
                 COUNTERSIGN_OIDC_CLIENT_ID and COUNTERSIGN_OIDC_CLIENT_SECRET for the workers",
            ),
            Self::Refused { message, .. } | Self::Unreachable { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for OidcFault {}

/// 256 random bits as 43 characters: fit for a state, a nonce or a PKCE verifier.
#[must_use]
pub fn random_token(rng: &mut (impl CryptoRng + ?Sized)) -> String {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A fresh PKCE verifier.
#[must_use]
pub fn pkce_verifier(rng: &mut (impl CryptoRng + ?Sized)) -> SecretString {
    random_token(rng).into()
}

/// The S256 challenge of a verifier (RFC 7636).
#[must_use]
pub fn pkce_challenge(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret().as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn the_challenge_is_the_one_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(pkce_challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn tokens_are_long_plain_and_never_the_same() {
        let mut rng = StdRng::seed_from_u64(7);
        let (one, two) = (random_token(&mut rng), random_token(&mut rng));
        assert_ne!(one, two);
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    }

    fn ask() -> AuthorizeAsk {
        AuthorizeAsk {
            redirect_uri: "https://app.example.com/back?a=1".parse().unwrap(),
            state: "planted-state".into(),
            nonce: "planted-nonce".into(),
            pkce_challenge: "challenge".into(),
            login_hint: Some("ana+x@example.com".into()),
            locale: None,
        }
    }

    #[test]
    fn the_redirect_keeps_the_endpoints_own_query_and_escapes_ours() {
        let page = AuthorizePage {
            endpoint: "https://idp.example.com/auth?tenant=7".parse().unwrap(),
            client_id: "a&b".into(),
            scopes: "openid email".into(),
        };
        let url = page.url(&ask());
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs[0], ("tenant".into(), "7".into()));
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "a&b"),
            ("scope", "openid email"),
            ("redirect_uri", "https://app.example.com/back?a=1"),
            ("state", "planted-state"),
            ("nonce", "planted-nonce"),
            ("code_challenge", "challenge"),
            ("code_challenge_method", "S256"),
            ("login_hint", "ana+x@example.com"),
        ] {
            assert!(pairs.contains(&(name.into(), value.into())), "{name} in {url}");
        }
        assert!(!pairs.iter().any(|(name, _)| name == "ui_locales"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let exchange = CodeExchange {
            code: "planted-code".into(),
            redirect_uri: ask().redirect_uri,
            pkce_verifier: "planted-verifier".into(),
            nonce: "planted-nonce".into(),
        };
        let shown = format!("{:?} {exchange:?}", ask());
        assert!(!shown.contains("planted"), "{shown}");
    }
}
