//! Which socket addresses a delivery may connect to.
//!
//! The rule is "public unicast and nothing else". Configuration opens exceptions
//! by network and, if wanted, by port. An exception is matched against the address as it would
//! be dialled: opening `10.0.0.0/8` does not open `::ffff:10.0.0.1`.
//!
//! This module does no name resolution and no input or output.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::address_kind::{AddressKind, kind_of};

/// A network that configuration opened although it is not public.
///
/// Written as `127.0.0.1/32` (every port) or `127.0.0.1/32:8099+8100`; IPv6 the
/// same way, `::1/128:8099`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Exception {
    /// The network that may be dialled.
    pub net: IpNet,
    /// The ports that may be dialled there; `None` means every port.
    pub ports: Option<Vec<u16>>,
}

impl Exception {
    /// Opens every port of a network.
    #[must_use]
    pub fn net(net: IpNet) -> Self {
        Self { net, ports: None }
    }

    fn covers_port(&self, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }
}

/// The text is not an [`Exception`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an address exception; write NETWORK/BITS or NETWORK/BITS:PORT+PORT, for example 127.0.0.1/32:8099"
)]
pub struct InvalidException {
    text: String,
}

impl FromStr for Exception {
    type Err = InvalidException;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidException { text: text.to_owned() };
        let (address, rest) = text.trim().split_once('/').ok_or_else(invalid)?;
        let (bits, ports) = match rest.split_once(':') {
            None => (rest, None),
            Some((bits, ports)) => {
                let ports = ports
                    .split('+')
                    .map(|port| port.parse::<u16>().ok().filter(|port| *port != 0))
                    .collect::<Option<Vec<_>>>()
                    .ok_or_else(invalid)?;
                (bits, Some(ports))
            }
        };
        let net = format!("{address}/{bits}").parse::<IpNet>().map_err(|_| invalid())?;
        Ok(Self { net, ports })
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.net)?;
        for (index, port) in self.ports.iter().flatten().enumerate() {
            write!(f, "{}{port}", if index == 0 { ':' } else { '+' })?;
        }
        Ok(())
    }
}

/// An address that may not be dialled, and why.
///
/// The message names the kind and keeps the address to itself: the one who
/// reads a delivery log may be the one who probes for internal names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the receiver's address is not allowed ({})", self.reason())]
pub struct Refusal {
    /// The refused address, for the operator's own log.
    pub address: IpAddr,
    /// What the address is. [`AddressKind::Public`] here means that plain http
    /// was asked for, which is open to excepted networks only.
    pub kind: AddressKind,
}

impl Refusal {
    fn reason(&self) -> String {
        match self.kind {
            AddressKind::Public => "plain http; use https".to_owned(),
            kind => format!("{kind} network"),
        }
    }
}

/// The rule for every port: public unicast, and the configured exceptions.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    exceptions: Vec<Exception>,
}

impl AddressGuard {
    /// A guard that opens these networks besides public unicast.
    #[must_use]
    pub fn new(exceptions: Vec<Exception>) -> Self {
        Self { exceptions }
    }

    /// The rule for connections to one port.
    #[must_use]
    pub fn for_port(&self, port: u16) -> PortGuard {
        PortGuard { nets: self.nets(|exception| exception.covers_port(port)), public: true }
    }

    /// The rule for connections to a port that no exception names.
    #[must_use]
    pub fn for_other_ports(&self) -> PortGuard {
        PortGuard { nets: self.nets(|exception| exception.ports.is_none()), public: true }
    }

    /// The ports that exceptions name, each once, in order.
    #[must_use]
    pub fn named_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> =
            self.exceptions.iter().flat_map(|exception| exception.ports.iter().flatten()).copied().collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn nets(&self, keep: impl Fn(&Exception) -> bool) -> Vec<IpNet> {
        self.exceptions.iter().filter(|exception| keep(exception)).map(|exception| exception.net).collect()
    }
}

/// The rule for one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortGuard {
    nets: Vec<IpNet>,
    public: bool,
}

impl PortGuard {
    /// The same exceptions without public addresses, for plain http.
    #[must_use]
    pub fn exceptions_only(&self) -> Self {
        Self { nets: self.nets.clone(), public: false }
    }

    /// Whether nothing at all can pass.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !self.public && self.nets.is_empty()
    }

    /// Judges one address.
    ///
    /// # Errors
    /// [`Refusal`] when the address may not be dialled.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let kind = kind_of(address);
        if (self.public && kind == AddressKind::Public) || self.nets.iter().any(|net| net.contains(&address))
        {
            return Ok(());
        }
        Err(Refusal { address, kind })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_opens_its_network_and_ports_only() {
        let guard =
            AddressGuard::new(vec!["127.0.0.1/32:8099".parse().unwrap(), "fd12::/16".parse().unwrap()]);
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let local: IpAddr = "fd12::9".parse().unwrap();
        assert!(guard.for_port(8099).check(loopback).is_ok());
        assert!(guard.for_port(6379).check(loopback).is_err());
        assert!(guard.for_other_ports().check(loopback).is_err());
        assert!(guard.for_port(6379).check(local).is_ok());
        assert!(guard.for_port(8099).check("127.0.0.2".parse().unwrap()).is_err());
        assert!(guard.for_port(8099).check("::ffff:127.0.0.1".parse().unwrap()).is_err());
        assert_eq!(guard.named_ports(), [8099]);
    }

    #[test]
    fn without_public_only_exceptions_pass() {
        let guard = AddressGuard::new(vec!["127.0.0.0/8".parse().unwrap()]).for_port(80).exceptions_only();
        assert!(guard.check("127.0.0.1".parse().unwrap()).is_ok());
        let refusal = guard.check("8.8.8.8".parse().unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), "the receiver's address is not allowed (plain http; use https)");
        assert!(AddressGuard::default().for_port(80).exceptions_only().is_closed());
    }

    #[test]
    fn exceptions_are_read_and_written() {
        for text in ["127.0.0.1/32", "10.0.0.0/8:80", "::1/128:8099+8100", "fd00::/8"] {
            assert_eq!(text.parse::<Exception>().unwrap().to_string(), text);
        }
        for text in
            ["", "127.0.0.1", "127.0.0.1:80", "127.0.0.1/33", "::1/128:", "::1/128:0", "::1/128:80+", "a/8"]
        {
            assert!(text.parse::<Exception>().is_err(), "{text}");
        }
    }
}
