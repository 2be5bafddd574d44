//! What an operator may set about outgoing webhooks, and nothing that a tenant may.

use std::time::Duration;

use super::address::Exception;

/// Settings of a [`WebhookClient`](super::WebhookClient). The default is the safe one.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Networks that may be dialled although they are not public. An exception
    /// opens everything it covers, so keep it as small as one address.
    pub allow: Vec<Exception>,
    /// Whether plain http may be used to public addresses. Excepted networks
    /// may always be reached by plain http.
    pub allow_http: bool,
    /// The ports endpoints may use; `None` for any.
    pub ports: Option<Vec<u16>>,
    /// How long a connection, with its TLS handshake, may take.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept for the next delivery.
    pub idle_timeout: Duration,
    /// Idle connections kept for each receiver.
    pub idle_per_host: usize,
    /// Certificate authorities trusted besides the system's, as PEM; empty for none.
    pub extra_roots_pem: Vec<u8>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            allow_http: false,
            ports: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            idle_per_host: 4,
            extra_roots_pem: Vec::new(),
        }
    }
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The extra roots are not PEM certificates.
    #[error("the extra webhook root certificates cannot be read; give PEM blocks of type CERTIFICATE")]
    Roots(#[source] reqwest::Error),
    /// Extra roots were given and none was found in them.
    #[error("the extra webhook root certificates hold no certificate; give PEM blocks of type CERTIFICATE")]
    NoRoots,
    /// The HTTP client could not be built, most often for want of system certificates.
    #[error("the webhook client cannot be built; check that the system's CA certificates are installed")]
    Client(#[source] reqwest::Error),
}
