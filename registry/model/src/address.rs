// SPDX-License-Identifier: Apache-2.0
//! Addresses of clients.

use std::net::IpAddr;

/// What counts as one client where addresses are counted: an address of IPv4, and of IPv6 the network of 64 bits that one
/// host has to itself (RFC 4291, section 2.5.4). An address of IPv4 that is written as one of IPv6 is one of IPv4.
#[must_use]
pub fn host_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let cases = [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::"),
        ];
        for (address, network) in cases {
            assert_eq!(host_network(address.parse().unwrap()).to_string(), network, "{address}");
        }
    }
}
