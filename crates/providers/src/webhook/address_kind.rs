//! Sorts addresses by what they are for, after the IANA special-purpose
//! registries (RFC 6890 and its updates) and the metadata services of the
//! large clouds. Whatever is not clearly public unicast is not called public.
//!
//! Only sorts: what may be dialled is decided by the guard.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for, as far as a delivery cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind {
    /// Public unicast: the only kind that needs no exception.
    Public,
    /// `0.0.0.0/8` and `::`; several systems treat them as "this host".
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// RFC 1918: `10/8`, `172.16/12`, `192.168/16`.
    Private,
    /// Carrier-grade NAT, `100.64.0.0/10`.
    SharedNat,
    /// `169.254.0.0/16` and `fe80::/10`.
    LinkLocal,
    /// A cloud's instance metadata or host agent.
    Metadata,
    /// IPv6 unique local, `fc00::/7`.
    UniqueLocal,
    /// IPv6 site-local, `fec0::/10` (deprecated, still routed in places).
    SiteLocal,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Ranges set aside for documentation.
    Documentation,
    /// `198.18.0.0/15` and `2001:2::/48`.
    Benchmarking,
    /// Protocol assignments: `192.0.0.0/24`, `192.88.99.0/24`, `2001::/23`.
    ProtocolAssignment,
    /// IPv4 inside IPv6: mapped, compatible or translated (`::ffff:0:0:0/96`).
    EmbeddedV4,
    /// NAT64 in front of an IPv4 address that is not public, or the local-use
    /// prefix `64:ff9b:1::/48`.
    Nat64,
    /// 6to4, `2002::/16`.
    SixToFour,
    /// Teredo, `2001::/32`.
    Teredo,
    /// Everything that is not assigned for public unicast.
    Reserved,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::SharedNat => "shared (carrier-grade NAT)",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::UniqueLocal => "unique local",
            Self::SiteLocal => "site-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::ProtocolAssignment => "protocol assignment",
            Self::EmbeddedV4 => "IPv4 embedded in IPv6",
            Self::Nat64 => "NAT64",
            Self::SixToFour => "6to4",
            Self::Teredo => "Teredo",
            Self::Reserved => "reserved",
        })
    }
}

/// Sorts an address. Only [`AddressKind::Public`] may be dialled without an exception.
#[must_use]
pub fn kind_of(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(v4) => kind_of_v4(v4),
        IpAddr::V6(v6) => kind_of_v6(v6),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        // The metadata address of most clouds, Alibaba's, Oracle's, and the
        // Azure host agent, which sits on a public address. Named before the
        // ranges that hold them so that a log line says what was attempted.
        [169, 254, 169, 254]
        | [169, 254, 170, 2]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192]
        | [168, 63, 129, 16] => AddressKind::Metadata,
        [0, ..] => AddressKind::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        [100, 64..=127, ..] => AddressKind::SharedNat,
        [127, ..] => AddressKind::Loopback,
        [169, 254, ..] => AddressKind::LinkLocal,
        [192, 0, 0, _] | [192, 88, 99, _] => AddressKind::ProtocolAssignment,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Documentation,
        [198, 18..=19, ..] => AddressKind::Benchmarking,
        [224..=239, ..] => AddressKind::Multicast,
        [255, 255, 255, 255] => AddressKind::Broadcast,
        [240..=255, ..] => AddressKind::Reserved,
        _ => AddressKind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressKind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        // Compatible, mapped, and SIIT-translated.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => {
            AddressKind::EmbeddedV4
        }
        // On an IPv6-only network every IPv4 receiver is reached through this
        // prefix, so what counts is the address behind it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            match kind_of_v4(Ipv4Addr::new(a, b, c, d)) {
                AddressKind::Public => AddressKind::Public,
                AddressKind::Metadata => AddressKind::Metadata,
                _ => AddressKind::Nat64,
            }
        }
        // Local-use NAT64: where the IPv4 address sits depends on a prefix
        // length that only the operator's network knows, so none is trusted.
        [0x64, 0xff9b, 1, ..] => AddressKind::Nat64,
        // Amazon's and Google's metadata over IPv6.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => AddressKind::Metadata,
        [0xfc00..=0xfdff, ..] => AddressKind::UniqueLocal,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        [0xfec0..=0xfeff, ..] => AddressKind::SiteLocal,
        [0xff00..=0xffff, ..] => AddressKind::Multicast,
        [0x2001, 0, ..] => AddressKind::Teredo,
        [0x2001, 2, 0, ..] => AddressKind::Benchmarking,
        [0x2001, 0..=0x1ff, ..] => AddressKind::ProtocolAssignment,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressKind::Documentation,
        [0x2002, ..] => AddressKind::SixToFour,
        // 6bone, handed back in 2006.
        [0x3ffe, ..] => AddressKind::Reserved,
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_special_range_is_known_at_both_ends() {
        use AddressKind::*;
        let table = [
            ("0.0.0.0", Unspecified),
            ("0.255.255.255", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("100.64.0.0", SharedNat),
            ("100.127.255.255", SharedNat),
            ("100.100.100.200", Metadata),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("169.254.0.0", LinkLocal),
            ("169.254.255.255", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("168.63.129.16", Metadata),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.0.0.0", ProtocolAssignment),
            ("192.0.0.192", Metadata),
            ("192.0.0.255", ProtocolAssignment),
            ("192.0.2.1", Documentation),
            ("192.88.99.1", ProtocolAssignment),
            ("192.168.0.0", Private),
            ("192.168.255.255", Private),
            ("198.18.0.0", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("198.51.100.7", Documentation),
            ("203.0.113.7", Documentation),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.0", Reserved),
            ("255.255.255.254", Reserved),
            ("255.255.255.255", Broadcast),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::2", EmbeddedV4),
            ("::127.0.0.1", EmbeddedV4),
            ("::8.8.8.8", EmbeddedV4),
            ("::ffff:127.0.0.1", EmbeddedV4),
            ("::ffff:8.8.8.8", EmbeddedV4),
            ("::ffff:0:127.0.0.1", EmbeddedV4),
            ("64:ff9b::127.0.0.1", Nat64),
            ("64:ff9b::10.1.2.3", Nat64),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b:1::8.8.8.8", Nat64),
            ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Nat64),
            ("64:ff9b:2::1", Reserved),
            ("64:ff9b:0:1::1", Reserved),
            ("100::1", Reserved),
            ("2001::1", Teredo),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Teredo),
            ("2001:2::1", Benchmarking),
            ("2001:10::1", ProtocolAssignment),
            ("2001:20::1", ProtocolAssignment),
            ("2001:1ff:ffff::1", ProtocolAssignment),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("3fff:fff::1", Documentation),
            ("2002:7f00:1::1", SixToFour),
            ("2002:808:808::1", SixToFour),
            ("3ffe::1", Reserved),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            ("fc00::1", UniqueLocal),
            ("fdff:ffff::1", UniqueLocal),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", SiteLocal),
            ("feff::1", SiteLocal),
            ("ff02::1", Multicast),
            ("ffff::1", Multicast),
        ];
        for (text, kind) in table {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(kind_of(address), kind, "{text}");
        }
    }

    #[test]
    fn public_neighbours_of_special_ranges_are_public() {
        for text in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "3fff:1000::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(kind_of(text.parse().unwrap()), AddressKind::Public, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_standard_library_never_sees_worse_than_we_do(bits: u32) {
            let address = Ipv4Addr::from(bits);
            if kind_of_v4(address) == AddressKind::Public {
                prop_assert!(!(address.is_private() || address.is_loopback() || address.is_link_local()
                    || address.is_multicast() || address.is_broadcast() || address.is_documentation()
                    || address.is_unspecified()));
            }
        }

        #[test]
        fn no_private_v4_hides_in_a_public_v6(bits: u32, prefix in prop::sample::select(vec![
            "::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::",
        ])) {
            let inner = Ipv4Addr::from(bits);
            let outer = Ipv6Addr::from(u128::from(prefix.parse::<Ipv6Addr>().unwrap()) | u128::from(bits));
            if kind_of_v6(outer) == AddressKind::Public {
                prop_assert_eq!(kind_of_v4(inner), AddressKind::Public);
            }
        }
    }
}
