// SPDX-License-Identifier: Apache-2.0
//! Ports of servers that are started again.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// A port of 127.0.0.1 that nobody is given who asks for any free one, also while no server listens on it.
///
/// It is bound with `SO_REUSEADDR` and never listens: whoever names the port and sets `SO_REUSEADDR` too, as the listeners of Rust,
/// Go and PostgreSQL do, may bind it as well (socket(7)). Whoever connects is refused until then.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// Reserves a free port until the value is dropped.
    ///
    /// # Errors
    /// If no port is free.
    pub fn any() -> Result<Self> {
        let reserve = || {
            // Not for the programs that this process starts.
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
            let number = SocketAddrV4::try_from(getsockname(&socket)?)?.port();
            Ok::<_, rustix::io::Errno>(Self {
                number,
                _socket: socket,
            })
        };
        reserve().context("cannot reserve a port")
    }

    /// The port.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.number).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_is_for_who_names_it() {
        let port = ReservedPort::any().unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(port.address()).unwrap();
            let taken = TcpListener::bind(port.address()).unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            TcpStream::connect(port.address()).unwrap();
            drop(listener);
        }
    }
}
