//! Signing secrets of webhook endpoints, derived from the platform's webhook keys.
//!
//! One key signs nothing itself: each (organisation, host, port) has a secret of its own, so that a
//! subscriber who knows theirs knows nothing of another's. While a key is being rotated the old one
//! stays in the list and events carry both signatures. Endpoints with secrets of their own come with
//! the outgoing-webhooks work; they fit behind the same port.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::OrgId;
use domain::ports::{PortFuture, SecretsFault, WebhookSecrets};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Least length of a platform key, in bytes.
const LEAST_BYTES: usize = 32;

/// A key that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Too short to be a key.
    #[error(
        "a webhook key must have at least 32 characters of random text (for example from `openssl rand -hex 32`)"
    )]
    TooShort,
}

/// Derives signing secrets.
pub struct DerivedSecrets {
    keys: Vec<hmac::Key>,
}

impl DerivedSecrets {
    /// From the platform's keys, newest first. With none, no endpoint has a secret and deliveries end as
    /// dead letters that say so.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn new(keys: &[SecretString]) -> Result<Self, KeyError> {
        let keys = keys
            .iter()
            .map(|key| {
                let key = key.expose_secret().trim();
                if key.len() < LEAST_BYTES {
                    return Err(KeyError::TooShort);
                }
                Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The `whsec_…` secrets of one organisation's endpoint, newest first.
    #[must_use]
    pub fn of(&self, org: OrgId, url: &Url) -> Vec<SecretString> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let endpoint = format!("webhook-endpoint\n{org}\n{host}\n{port}");
        self.keys
            .iter()
            .map(|key| {
                let tag = hmac::sign(key, endpoint.as_bytes());
                SecretString::from(format!("whsec_{}", STANDARD.encode(tag.as_ref())))
            })
            .collect()
    }
}

impl WebhookSecrets for DerivedSecrets {
    fn signing_secrets<'a>(
        &'a self,
        org: OrgId,
        url: &'a Url,
    ) -> PortFuture<'a, Result<Vec<SecretString>, SecretsFault>> {
        Box::pin(async move { Ok(self.of(org, url)) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn exposed(secrets: &[SecretString]) -> Vec<&str> {
        secrets.iter().map(ExposeSecret::expose_secret).collect()
    }

    #[test]
    fn secrets_differ_by_organisation_host_port_and_key_but_not_by_path() {
        let key = SecretString::from("k".repeat(32));
        let secrets = DerivedSecrets::new(std::slice::from_ref(&key)).unwrap();
        let (org, other) = (OrgId::new(), OrgId::new());
        let url: Url = "https://example.com/a".parse().unwrap();
        let same = secrets.of(org, &url);
        assert!(exposed(&same)[0].starts_with("whsec_"));
        assert_eq!(exposed(&same), exposed(&secrets.of(org, &"https://example.com/b".parse().unwrap())));
        for (org, url) in [
            (other, "https://example.com/a"),
            (org, "https://example.org/a"),
            (org, "https://example.com:8443/a"),
        ] {
            assert_ne!(exposed(&same), exposed(&secrets.of(org, &url.parse().unwrap())));
        }
        let rotated = DerivedSecrets::new(&[SecretString::from("n".repeat(32)), key]).unwrap();
        let both = rotated.of(org, &url);
        assert_eq!(both.len(), 2);
        assert_eq!(exposed(&both)[1], exposed(&same)[0]);
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(DerivedSecrets::new(&["short".into()]).err(), Some(KeyError::TooShort));
    }
}
