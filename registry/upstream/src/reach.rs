// SPDX-License-Identifier: Apache-2.0
//! Which addresses may be reached.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::Network;

/// Where clouds keep the credentials of machines outside of the link-local networks: Alibaba's, Azure's and Oracle's.
const MACHINE_CREDENTIALS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same by IPv6: those of Amazon (the whole network), Google and Oracle.
fn is_of_machines(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (a, b) == (0xfd00, 0x0ec2)
        || address == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
        || address == Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)
}

/// Which addresses may be reached. It is also the resolver of names, so that each address that a connection is made to was
/// looked at, and a name that changes its mind gains nothing.
///
/// Never reached, unless the operator names the very address: link-local ones, and where clouds keep the credentials of
/// machines.
#[derive(Clone, Debug)]
pub struct Reach {
    public: bool,
    private: bool,
    loopback: bool,
    networks: Arc<[Network]>,
}

/// An address that may not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockedAddress(pub(crate) String);

impl fmt::Display for BlockedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no address of `{}` may be reached", self.0)
    }
}

impl std::error::Error for BlockedAddress {}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    Loopback,
    Machine,
    Nothing,
}

impl Reach {
    /// Public addresses, and these networks.
    #[must_use]
    pub fn new(networks: &[Network]) -> Self {
        Self {
            public: true,
            private: false,
            loopback: false,
            networks: networks.into(),
        }
    }

    /// These networks only.
    #[must_use]
    pub fn only(networks: &[Network]) -> Self {
        Self {
            public: false,
            ..Self::new(networks)
        }
    }

    /// Public addresses, and private networks if `private`.
    #[must_use]
    pub fn public(private: bool) -> Self {
        Self {
            private,
            ..Self::new(&[])
        }
    }

    /// This machine only.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            loopback: true,
            ..Self::only(&[])
        }
    }

    /// Whether `address` may be reached.
    #[must_use]
    pub fn may(&self, address: IpAddr) -> bool {
        // `::ffff:127.0.0.1` is 127.0.0.1.
        let address = address.to_canonical();
        let mut named = self.networks.iter().filter(|network| network.contains(address));
        match kind(address) {
            Kind::Public => self.public || named.next().is_some(),
            Kind::Private => self.private || named.next().is_some(),
            Kind::Loopback => self.loopback || named.next().is_some(),
            Kind::Machine => named.any(Network::is_one_address),
            Kind::Nothing => false,
        }
    }

    /// Whether the host of `url` may be asked for: a host that is an address is not resolved, and so is looked at here.
    #[must_use]
    pub fn may_ask(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host.parse::<IpAddr>().map_or(true, |address| self.may(address))
    }
}

fn kind(address: IpAddr) -> Kind {
    if address.is_loopback() {
        return Kind::Loopback;
    }
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xc0 == 64; // RFC 6598
            if v4.is_link_local() || MACHINE_CREDENTIALS.contains(&v4) {
                Kind::Machine
            } else if a == 0 || a >= 224 {
                // From 224 on, multicast and what is reserved (RFC 1112).
                Kind::Nothing
            } else if v4.is_private() || is_shared {
                Kind::Private
            } else {
                Kind::Public
            }
        }
        IpAddr::V6(v6) => {
            // RFC 6052 and RFC 3056: an IPv4 address inside.
            let [a, b, ..] = v6.segments();
            let embeds_v4 = (a, b) == (0x64, 0xff9b) || a == 0x2002 || a == 0;
            if v6.is_unspecified() || v6.is_multicast() || embeds_v4 {
                Kind::Nothing
            } else if v6.is_unicast_link_local() || is_of_machines(v6) {
                Kind::Machine
            } else if v6.is_unique_local() || a & 0xffc0 == 0xfec0 {
                Kind::Private
            } else {
                Kind::Public
            }
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|found| reach.may(found.ip()))
                .collect();
            if found.is_empty() {
                return Err(BlockedAddress(name.as_str().to_owned()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_reached_is_reached() {
        let named = |networks: &[&str]| -> Vec<Network> { networks.iter().map(|it| it.parse().unwrap()).collect() };
        let private = Reach::public(true);
        let public = Reach::public(false);
        let loopback = Reach::loopback();
        let lab = Reach::new(&named(&[
            "127.0.0.0/8",
            "10.0.0.0/8",
            "169.254.0.0/16",
            "fd00::/8",
            "100.64.0.0/10",
        ]));
        let plain = Reach::only(&named(&["127.0.0.0/8", "169.254.9.9", "0.0.0.0/0"]));
        // Address; reached with private networks, without, from loopback alone, with named networks, with those alone.
        let cases = [
            ("8.8.8.8", [true, true, false, true, true]),
            ("10.0.0.1", [true, false, false, true, true]),
            ("172.16.0.1", [true, false, false, false, true]),
            ("192.168.49.2", [true, false, false, false, true]),
            ("100.64.0.1", [true, false, false, true, true]),
            ("127.0.0.1", [false, false, true, true, true]),
            ("127.8.8.8", [false, false, true, true, true]),
            ("::ffff:127.0.0.1", [false, false, true, true, true]),
            ("::1", [false, false, true, false, false]),
            ("0.0.0.0", [false, false, false, false, false]),
            ("0.1.2.3", [false, false, false, false, false]),
            ("255.255.255.255", [false, false, false, false, false]),
            ("224.0.0.1", [false, false, false, false, false]),
            ("240.0.0.1", [false, false, false, false, false]),
            ("169.254.169.254", [false, false, false, false, false]),
            ("169.254.9.9", [false, false, false, false, true]),
            ("100.100.100.200", [false, false, false, false, false]),
            ("168.63.129.16", [false, false, false, false, false]),
            ("192.0.0.192", [false, false, false, false, false]),
            ("::ffff:169.254.169.254", [false, false, false, false, false]),
            ("64:ff9b::a9fe:a9fe", [false, false, false, false, false]),
            ("2002:a9fe:a9fe::", [false, false, false, false, false]),
            ("::a9fe:a9fe", [false, false, false, false, false]),
            ("fd00:ec2::254", [false, false, false, false, false]),
            ("fd20:ce::254", [false, false, false, false, false]),
            ("fd00:c1::a9fe:a9fe", [false, false, false, false, false]),
            ("fd20:ce::253", [true, false, false, true, false]),
            ("fe80::1", [false, false, false, false, false]),
            ("fd12::1", [true, false, false, true, false]),
            ("2001:db8::1", [true, true, false, true, false]),
        ];
        for (address, wanted) in cases {
            let address: IpAddr = address.parse().unwrap();
            let got = [&private, &public, &loopback, &lab, &plain].map(|reach| reach.may(address));
            assert_eq!(got, wanted, "{address}");
        }
    }
}
