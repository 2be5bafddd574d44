//! The identity provider as jobs see it.

use domain::oidc::{AuthorizePage, CodeExchange, Identity, IdentityProvider, OidcFault};
use domain::ports::PortFuture;
use jobs::auth::{FLOW_PURPOSE, FlowSeals};
use providers::oidc::OidcClient;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;
use vault::AuthKeys;

/// The process' one client of the identity provider, or the plain answer that none is set up.
pub struct OidcPort {
    client: Option<OidcClient>,
}

impl OidcPort {
    /// Wraps the client; without one every call answers [`OidcFault::NotConfigured`].
    #[must_use]
    pub fn new(client: Option<OidcClient>) -> Self {
        Self { client }
    }

    fn client(&self) -> Result<&OidcClient, OidcFault> {
        self.client.as_ref().ok_or(OidcFault::NotConfigured)
    }
}

impl IdentityProvider for OidcPort {
    fn authorize_page(&self) -> PortFuture<'_, Result<AuthorizePage, OidcFault>> {
        Box::pin(async move { self.client()?.authorize_page().await })
    }

    fn exchange<'a>(&'a self, exchange: &'a CodeExchange) -> PortFuture<'a, Result<Identity, OidcFault>> {
        Box::pin(async move { self.client()?.exchange(exchange).await })
    }
}

/// The API's own keys, for what it sealed for a sign-in elsewhere.
pub struct FlowSealPort(Option<AuthKeys>);

impl FlowSealPort {
    /// Without keys nothing opens.
    #[must_use]
    pub fn new(keys: Option<AuthKeys>) -> Self {
        Self(keys)
    }
}

impl FlowSeals for FlowSealPort {
    fn open(&self, flow: Uuid, sealed: &[u8]) -> Option<SecretString> {
        let bytes = self.0.as_ref()?.open(FLOW_PURPOSE, sealed, flow.as_bytes()).ok()?;
        Some(std::str::from_utf8(bytes.expose_secret()).ok()?.to_owned().into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_provider_every_call_says_what_to_set() {
        let port = OidcPort::new(None);
        let fault = port.authorize_page().await.unwrap_err();
        assert_eq!(fault, OidcFault::NotConfigured);
        assert!(fault.to_string().contains("COUNTERSIGN_OIDC_ISSUER"));
        let exchange = CodeExchange {
            code: "c".into(),
            redirect_uri: "https://app.example.com/back".parse().unwrap(),
            pkce_verifier: "v".into(),
            nonce: "n".into(),
        };
        assert_eq!(port.exchange(&exchange).await, Err(OidcFault::NotConfigured));
    }
}
