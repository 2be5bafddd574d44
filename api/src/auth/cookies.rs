//! Our cookies: never readable by scripts, never sent along from other sites, bound to the host where the
//! address is https.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Duration;
use http::{HeaderMap, HeaderValue, header};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use store::accounts::{devices, flows, sessions};

use crate::config::ApiConfig;

/// One of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session's token.
    Session,
    /// A browser's lasting name.
    Device,
    /// Binds the way back from an identity provider to the browser that left.
    Flow,
}

impl Cookie {
    fn name(self, config: &ApiConfig) -> &'static str {
        match (self, config.secure_cookies()) {
            (Self::Session, true) => "__Host-countersign",
            (Self::Session, false) => "countersign",
            (Self::Device, true) => "__Host-countersign-device",
            (Self::Device, false) => "countersign-device",
            (Self::Flow, true) => "__Host-countersign-flow",
            (Self::Flow, false) => "countersign-flow",
        }
    }

    fn life(self) -> Duration {
        match self {
            Self::Session => sessions::LIFE,
            Self::Device => devices::LIFE,
            Self::Flow => flows::LIFE,
        }
    }

    /// The SHA-256 of what the browser sent under this name, if it is shaped like ours.
    pub(crate) fn hash(self, headers: &HeaderMap, config: &ApiConfig) -> Option<[u8; 32]> {
        self.value(headers, config).map(hash)
    }

    /// What the browser sent under this name, if it is shaped like ours.
    pub(crate) fn value<'a>(self, headers: &'a HeaderMap, config: &ApiConfig) -> Option<&'a str> {
        let value = self.sent(headers, config)?;
        is_token(value).then_some(value)
    }

    /// Whether the browser sent anything under this name.
    pub(crate) fn sent<'a>(self, headers: &'a HeaderMap, config: &ApiConfig) -> Option<&'a str> {
        let name = self.name(config);
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(sent, value)| (sent == name).then_some(value))
    }

    /// The header that sets it.
    pub(crate) fn set(self, token: &SecretString, config: &ApiConfig) -> Option<HeaderValue> {
        let life = self.life().num_seconds();
        let mut value = HeaderValue::from_str(&self.line(token.expose_secret(), life, config)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The header that takes it away.
    pub(crate) fn removed(self, config: &ApiConfig) -> HeaderValue {
        // Made of fixed words only.
        HeaderValue::from_str(&self.line("", 0, config)).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn line(self, value: &str, life_s: i64, config: &ApiConfig) -> String {
        let secure = if config.secure_cookies() { "; Secure" } else { "" };
        // The way back from a provider is a navigation from another site, which Strict would hide it from.
        let same_site = if self == Self::Flow { "Lax" } else { "Strict" };
        let name = self.name(config);
        format!("{name}={value}; HttpOnly; SameSite={same_site}; Path=/; Max-Age={life_s}{secure}")
    }
}

/// 256 random bits as 43 characters.
pub(crate) fn new_token() -> SecretString {
    let mut random = [0_u8; 32];
    rand::rng().fill_bytes(&mut random);
    URL_SAFE_NO_PAD.encode(random).into()
}

pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn is_token(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others_and_nonsense_is_none() {
        let config = ApiConfig::default();
        let good = "a".repeat(43);
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            Cookie::Session.value(&headers, &config).map(str::to_owned)
        };
        assert_eq!(of(&[&format!("x=1; countersign={good}; y=2")]), Some(good.clone()));
        assert_eq!(of(&["x=1", &format!("countersign={good}")]), Some(good.clone()));
        for bad in [
            "countersign=",
            "countersign=abc",
            &format!("xcountersign={good}"),
            &format!("countersign={}%", "a".repeat(42)),
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn over_https_the_cookie_is_bound_to_the_host() {
        let https = ApiConfig { public_url: "https://c.example".parse().unwrap(), ..ApiConfig::default() };
        let token = new_token();
        let line = Cookie::Session.set(&token, &https).unwrap();
        let line = line.to_str().unwrap();
        assert!(line.starts_with("__Host-countersign=") && line.ends_with("; Secure"), "{line}");
        assert!(line.contains("HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"), "{line}");
        let plain = Cookie::Session.set(&token, &ApiConfig::default()).unwrap();
        let plain = plain.to_str().unwrap();
        assert!(plain.starts_with("countersign=") && !plain.contains("Secure"), "{plain}");
    }
}
