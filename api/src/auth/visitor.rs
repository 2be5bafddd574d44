//! Somebody at the door: not signed in yet, known by address and browser only.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use http::{HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use store::Origin;

use super::cookies::{self, Cookie};
use super::{csrf, origin};
use crate::config::ApiConfig;
use crate::problem::Problem;
use crate::state::Api;

/// Who knocks. Requests that another site caused are refused.
pub(crate) struct Visitor {
    pub(crate) origin: Origin,
    pub(crate) user_agent: Option<String>,
    /// The lasting name of the browser, if it has one.
    device: Option<SecretString>,
    /// The session that the browser has already, by the hash of its token.
    pub(super) session: Option<[u8; 32]>,
    /// What binds a browser to its way back from an identity provider.
    pub(crate) flow: Option<[u8; 32]>,
}

impl FromRequestParts<Api> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if parts.method != Method::GET {
            csrf::check_site(&parts.headers)?;
        }
        let config = api.config();
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
        Ok(Self {
            origin: origin::origin(parts, config),
            user_agent: user_agent.map(str::to_owned),
            device: Cookie::Device.value(&parts.headers, config).map(SecretString::from),
            session: Cookie::Session.hash(&parts.headers, config),
            flow: Cookie::Flow.hash(&parts.headers, config),
        })
    }
}

impl Visitor {
    /// The hash of the browser's lasting name.
    pub(crate) fn device(&self) -> Option<[u8; 32]> {
        self.device.as_ref().map(|device| cookies::hash(device.expose_secret()))
    }

    /// The browser's lasting name, given to it now if it has none: its hash, and the header that keeps it.
    pub(crate) fn name_device(&self, config: &ApiConfig) -> ([u8; 32], Option<HeaderValue>) {
        let token = self.device.clone().unwrap_or_else(cookies::new_token);
        (cookies::hash(token.expose_secret()), Cookie::Device.set(&token, config))
    }
}
