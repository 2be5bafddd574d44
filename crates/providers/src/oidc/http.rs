//! One bounded exchange with the provider: no redirect, no proxy, a time limit over everything, a cap on
//! the body. Says nothing in its errors that was sent or received.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use domain::oidc::OidcFault;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::config::ConfigError;

/// Longest answer that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

const USER_AGENT: &str = "Countersign/1";

/// The provider's answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    what: &'static str,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, OidcFault> {
        // The parser's own words could quote a token.
        serde_json::from_slice(&self.body).map_err(|_| {
            refused("bad_answer", format!("{} is not the JSON that OpenID Connect asks for", self.what))
        })
    }

    /// The answer if it is 200; else why not, for documents that anybody may read.
    pub(super) fn document(self, advice: &str) -> Result<Self, OidcFault> {
        match self.status.as_u16() {
            200 => Ok(self),
            status => Err(refused("bad_answer", format!("{} answered {status}; {advice}", self.what))),
        }
    }
}

/// The client and its time limit.
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    limit: Duration,
}

impl Http {
    pub(super) fn new(limit: Duration) -> Result<Self, ConfigError> {
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            // Another crate of the build may switch these on for everybody.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()
            .map_err(ConfigError::Client)?;
        Ok(Self { client, limit })
    }

    /// Sends and reads all of the answer. `what` names the other end in messages.
    ///
    /// Redirects and answers over the cap are refusals; 429 and 5xx are worth another try, as is anything
    /// that broke on the way.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        what: &'static str,
    ) -> Result<Answer, OidcFault> {
        let exchange = async {
            let mut response = request.send().await.map_err(|error| broken(&error, what))?;
            let status = response.status();
            if status.is_redirection() {
                return Err(refused(
                    "redirect",
                    format!(
                        "{what} answered {}, a redirect, and redirects are not followed",
                        status.as_u16()
                    ),
                ));
            }
            if status == StatusCode::TOO_MANY_REQUESTS {
                return Err(unreachable("busy", format!("{what} answered 429; it wants fewer requests")));
            }
            if status.is_server_error() {
                return Err(unreachable(
                    "server_error",
                    format!("{what} answered {}; look at the provider's own log", status.as_u16()),
                ));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error, what))? {
                if body.len() + chunk.len() > MAX_BODY_BYTES {
                    return Err(refused(
                        "too_large",
                        format!("{what} answered more than {MAX_BODY_BYTES} bytes"),
                    ));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, body, what })
        };
        tokio::time::timeout(self.limit, exchange).await.unwrap_or_else(|_| {
            Err(unreachable("timeout", format!("{what} did not answer within {} ms", self.limit.as_millis())))
        })
    }
}

pub(super) fn refused(code: &'static str, message: impl Into<String>) -> OidcFault {
    OidcFault::Refused { code, message: message.into() }
}

pub(super) fn unreachable(code: &'static str, message: impl Into<String>) -> OidcFault {
    OidcFault::Unreachable { code, message: message.into() }
}

fn broken(error: &reqwest::Error, what: &str) -> OidcFault {
    if error.is_timeout() {
        unreachable("timeout", format!("{what} did not answer in time"))
    } else if !error.is_connect() {
        unreachable("broken", format!("{what} broke off without a valid answer"))
    } else if is_tls(error) {
        unreachable(
            "tls",
            format!(
                "{what}'s TLS was refused; check its certificate and name, and the workers' CA certificates"
            ),
        )
    } else {
        unreachable("connect", format!("no connection to {what}; check that it is up and its name resolves"))
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An io::Error leaves out of its chain the very error it wraps.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    false
}
