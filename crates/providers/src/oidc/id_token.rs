//! The ID token: is it the provider's, meant for us, for this sign-in, and for now? Pure: time and keys
//! come in as arguments. No message quotes the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::oidc::{Identity, OidcFault};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};

use super::http::refused;
use super::keys::Algorithm;

/// How far the provider's clock may be from ours.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

const MAX_SUBJECT_BYTES: usize = 255;
const MAX_EMAIL_BYTES: usize = 254;
const MAX_NAME_CHARS: usize = 200;
const MAX_LABEL_CHARS: usize = 255;
const MAX_METHODS: usize = 32;

/// What a token says about its signature; not to be believed before the signature is.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// Reads the header, and refuses what is not a signed token of a kind that is believed.
pub(super) fn read_header(token: &str) -> Result<Header, OidcFault> {
    #[derive(Deserialize)]
    struct Raw {
        alg: String,
        kid: Option<String>,
        crit: Option<Value>,
    }
    let bad = || refused("bad_token", "the provider's ID token is not a signed JSON web token");
    match token.split('.').count() {
        3 => {}
        5 => {
            return Err(refused(
                "unsupported",
                "the provider encrypts its ID tokens; switch that off for this client there",
            ));
        }
        _ => return Err(bad()),
    }
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| bad())?;
    let raw: Raw = serde_json::from_slice(&header).map_err(|_| bad())?;
    let algorithm = Algorithm::named(&raw.alg).ok_or_else(|| {
        refused(
            "unsupported_algorithm",
            "the ID token is not signed with RS256, PS256, ES256 or EdDSA; choose one of them for this client \
             at the provider",
        )
    })?;
    if raw.crit.is_some() {
        return Err(refused("bad_token", "the ID token demands extensions (`crit`) that are not known here"));
    }
    Ok(Header { algorithm, kid: raw.kid })
}

/// The claims, once one of the keys confirms the signature.
pub(super) fn verify(token: &str, header: &Header, keys: &[DecodingKey]) -> Result<Claims, OidcFault> {
    let mut only_signature = Validation::new(header.algorithm.jwt());
    // The claims are judged below, each with an answer of its own.
    only_signature.required_spec_claims.clear();
    only_signature.validate_exp = false;
    only_signature.validate_nbf = false;
    only_signature.validate_aud = false;
    let claims = keys
        .iter()
        .find_map(|key| jsonwebtoken::decode::<Value>(token, key, &only_signature).ok())
        .ok_or_else(|| refused("bad_signature", "the ID token's signature is not the provider's"))?
        .claims;
    serde_json::from_value(claims).map_err(|_| {
        refused(
            "bad_token",
            "the ID token lacks a claim that OpenID Connect asks for, or has one of another type",
        )
    })
}

/// What a token must agree with.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Claims whose signature was confirmed; times in seconds since 1970.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    at_hash: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    /// Every check that needs no signature.
    pub(super) fn check(&self, expected: &Expected<'_>) -> Result<(), OidcFault> {
        if self.iss != expected.issuer {
            return Err(refused("wrong_issuer", "the ID token was issued by somebody else"));
        }
        let audiences = match &self.aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Many(many) => many,
        };
        let ours = audiences.iter().any(|audience| audience == expected.client_id);
        let party = match &self.azp {
            Some(party) => party == expected.client_id,
            None => audiences.len() == 1,
        };
        if !ours || !party {
            return Err(refused("wrong_audience", "the ID token is meant for another client"));
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err(refused("wrong_nonce", "the ID token belongs to another sign-in; sign in again"));
        }
        let (now, skew) = (seconds(expected.now), seconds_of(CLOCK_SKEW));
        if self.exp + skew <= now {
            return Err(refused(
                "expired",
                "the ID token has expired; check both machines' clocks, then sign in again",
            ));
        }
        if self.iat - skew > now || self.nbf.is_some_and(|from| from - skew > now) {
            return Err(refused(
                "not_yet_valid",
                "the ID token is from the future; check the clocks of this machine and the provider",
            ));
        }
        if self.sub.is_empty() || self.sub.len() > MAX_SUBJECT_BYTES {
            return Err(refused("bad_token", "the ID token's subject is empty or longer than 255 bytes"));
        }
        Ok(())
    }

    /// Whether the access token came with this ID token, where the ID token says so (`at_hash`).
    pub(super) fn check_access_token(
        &self,
        algorithm: Algorithm,
        token: Option<&str>,
    ) -> Result<(), OidcFault> {
        let Some(said) = &self.at_hash else { return Ok(()) };
        let half = token.map(|token| match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => {
                URL_SAFE_NO_PAD.encode(&Sha256::digest(token.as_bytes())[..16])
            }
            // Ed25519 hashes with SHA-512 inside.
            Algorithm::EdDsa => URL_SAFE_NO_PAD.encode(&Sha512::digest(token.as_bytes())[..32]),
        });
        if half.as_ref() == Some(said) {
            Ok(())
        } else {
            Err(refused("wrong_access_token", "the access token is not the one the ID token was issued with"))
        }
    }

    /// The person. Optional claims of odd types count as not told.
    pub(super) fn identity(&self) -> Identity {
        let mut identity = Identity {
            issuer: self.iss.clone(),
            subject: self.sub.clone(),
            email: None,
            email_verified: false,
            name: None,
            amr: Vec::new(),
            acr: text(&self.others, "acr", MAX_LABEL_CHARS),
            auth_time: self
                .others
                .get("auth_time")
                .and_then(Value::as_i64)
                .and_then(|time| DateTime::from_timestamp(time, 0)),
        };
        if let Some(Value::Array(methods)) = self.others.get("amr") {
            identity.amr = methods
                .iter()
                .take(MAX_METHODS)
                .filter_map(Value::as_str)
                .map(|method| shown(method, MAX_LABEL_CHARS))
                .collect();
        }
        add_profile(&mut identity, &self.others);
        identity
    }
}

/// Adds address and name from a set of claims, where they are still unknown. An address and whether it was
/// checked always come from the same set.
pub(super) fn add_profile(identity: &mut Identity, claims: &Map<String, Value>) {
    if identity.email.is_none()
        && let Some(email) = claims.get("email").and_then(Value::as_str).map(str::trim)
        && is_email(email)
    {
        identity.email = Some(email.to_owned());
        // Some providers send the word instead of the value.
        identity.email_verified = match claims.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(word)) => word == "true",
            _ => false,
        };
    }
    if identity.name.is_none() {
        identity.name = text(claims, "name", MAX_NAME_CHARS);
    }
}

fn is_email(email: &str) -> bool {
    email.len() <= MAX_EMAIL_BYTES
        && !email.chars().any(|sign| sign.is_control() || sign.is_whitespace())
        && email.rsplit_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty())
}

fn text(claims: &Map<String, Value>, name: &str, most: usize) -> Option<String> {
    let text = shown(claims.get(name)?.as_str()?, most);
    (!text.is_empty()).then_some(text)
}

fn shown(text: &str, most: usize) -> String {
    text.trim().chars().filter(|sign| !sign.is_control()).take(most).collect()
}

#[allow(clippy::cast_precision_loss)] // Exact for the next hundred million years.
fn seconds(time: DateTime<Utc>) -> f64 {
    time.timestamp() as f64
}

#[allow(clippy::cast_precision_loss)]
fn seconds_of(span: TimeDelta) -> f64 {
    span.num_seconds() as f64
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
