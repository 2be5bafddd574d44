//! Where a request came from: the network address, as far as proxies that are trusted tell it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use store::Origin;

use crate::config::ApiConfig;
use crate::edge::RequestId;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where the request came from, for the audit log and the throttle.
pub(crate) fn origin(parts: &Parts, config: &ApiConfig) -> Origin {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    Origin {
        request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
        address: peer.map(|peer| client(peer, &parts.headers, &config.trusted_proxies)),
    }
}

/// The nearest address that no trusted proxy has. What stands further left was written by strangers.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(&nearest) {
        return nearest;
    }
    // A line that is no text is not skipped: what stands left of it was written by strangers all the same.
    let entries = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries {
        let address = std::str::from_utf8(entry).ok().and_then(|entry| entry.trim().parse::<IpAddr>().ok());
        let Some(address) = address else { break };
        nearest = address.to_canonical();
        if !is_trusted(&nearest) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let of = |peer: &str, lines: &[&str], trusted: &[IpNet]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            client(peer.parse().unwrap(), &headers, trusted).to_string()
        };
        assert_eq!(of("203.0.113.7", &["198.51.100.1"], &trusted), "203.0.113.7");
        assert_eq!(of("10.0.0.1", &["198.51.100.1"], &[]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["1.2.3.4, 198.51.100.1"], &trusted), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["198.51.100.1, 10.9.9.9"], &trusted), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &["198.51.100.1", "10.9.9.9"], &trusted), "198.51.100.1");
        assert_eq!(of("::ffff:10.0.0.1", &["2001:db8::1"], &trusted), "2001:db8::1");
        assert_eq!(of("10.0.0.1", &["198.51.100.1, nonsense"], &trusted), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["1.2.3.4", "é"], &trusted), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["é, 198.51.100.1"], &trusted), "198.51.100.1");
        assert_eq!(of("10.0.0.1", &[], &trusted), "10.0.0.1");
    }
}
