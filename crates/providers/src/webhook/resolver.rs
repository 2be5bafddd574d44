//! Name resolution that only ever answers with addresses the guard let through.
//!
//! The HTTP client dials what this resolver returns and asks nobody else, so
//! there is no gap between the check and the connection. It does not see hosts
//! that are addresses already; the client judges those before it sends.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::PortGuard;

/// What [`Lookup::lookup`] returns.
pub type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A source of addresses for a name. Its answers are not trusted.
pub trait Lookup: Send + Sync {
    /// All addresses of `host`, best first.
    fn lookup(&self, host: &str) -> LookupFuture;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> LookupFuture {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The name has no usable answer.
#[derive(Debug, thiserror::Error)]
#[error("name lookup failed")]
pub(super) struct LookupFailed(#[source] io::Error);

pub(super) struct GuardedResolver {
    lookup: Arc<dyn Lookup>,
    guard: PortGuard,
}

impl GuardedResolver {
    pub(super) fn new(lookup: Arc<dyn Lookup>, guard: PortGuard) -> Self {
        Self { lookup, guard }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let answer = self.lookup.lookup(name.as_str());
        let guard = self.guard.clone();
        Box::pin(async move {
            let found = answer.await.map_err(LookupFailed)?;
            let mut allowed = Vec::with_capacity(found.len());
            let mut refused = None;
            for address in found {
                match guard.check(address) {
                    // Port 0: the client puts in the port of the URL.
                    Ok(()) => allowed.push(SocketAddr::new(address, 0)),
                    Err(refusal) => refused = refused.or(Some(refusal)),
                }
            }
            match refused {
                Some(refusal) if allowed.is_empty() => Err(refusal.into()),
                None if allowed.is_empty() => {
                    Err(LookupFailed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
                        .into())
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::webhook::{AddressGuard, Refusal};

    struct Fixed(Vec<IpAddr>);

    impl Lookup for Fixed {
        fn lookup(&self, _host: &str) -> LookupFuture {
            let found = self.0.clone();
            Box::pin(async move { Ok(found) })
        }
    }

    async fn resolve(answers: &[&str]) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let lookup = Arc::new(Fixed(answers.iter().map(|text| text.parse().unwrap()).collect()));
        let resolver = GuardedResolver::new(lookup, AddressGuard::default().for_port(443));
        resolver.resolve("rebind.example".parse().unwrap()).await.map(Iterator::collect)
    }

    #[tokio::test]
    async fn private_answers_are_dropped_from_a_mixed_reply() {
        let found =
            resolve(&["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "::ffff:127.0.0.1"]).await.unwrap();
        assert_eq!(found, ["8.8.8.8:0".parse().unwrap(), "[2606:4700::1111]:0".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_reply_of_private_answers_is_a_refusal() {
        let error = resolve(&["169.254.169.254", "127.0.0.1"]).await.unwrap_err();
        let refusal = error.downcast_ref::<Refusal>().unwrap();
        assert_eq!(refusal.address, "169.254.169.254".parse::<IpAddr>().unwrap());
    }

    #[tokio::test]
    async fn an_empty_reply_is_a_failed_lookup() {
        assert!(resolve(&[]).await.unwrap_err().is::<LookupFailed>());
    }
}
