// SPDX-License-Identifier: Apache-2.0
//! A slow line: a TCP relay that holds back what the client says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result};

/// Relays connections to a server and delays every piece from the client.
#[derive(Debug)]
pub struct SlowProxy {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl SlowProxy {
    /// Starts a relay to `upstream` (`host:port`).
    pub fn start(upstream: &str, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        let address = listener.local_addr()?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (upstream, stop) = (upstream.to_owned(), Arc::clone(&is_stopped));
        let accepting = spawn(move || {
            for client in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(&upstream) else {
                    continue;
                };
                let (Ok(client_reader), Ok(server_reader)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                // Both end with their connection, and all connections end with the processes under test.
                spawn(move || relay(client_reader, server, delay));
                spawn(move || relay(server_reader, client, Duration::ZERO));
            }
        });
        Ok(Self {
            address,
            is_stopped,
            accepting: Some(accepting),
        })
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // One more connection wakes the loop up.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        sleep(delay);
        if to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
