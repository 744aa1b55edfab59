// SPDX-License-Identifier: Apache-2.0
//! A slow line: a TCP relay that holds back what the client says, or lets only so much of the answers through.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

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
        Self::relay_all(upstream, delay, &[], None)
    }

    /// Starts a relay that makes each of `hidden`, texts in what clients say, into another one of its length: a client that
    /// accepts a media type is then one that does not know it.
    pub fn hiding(upstream: &str, hidden: &'static [&'static str]) -> Result<Self> {
        Self::relay_all(upstream, Duration::ZERO, hidden, None)
    }

    /// Starts a relay on each of whose connections the server says at most so many bytes per second.
    pub fn limited(upstream: &str, bytes_per_second: u64) -> Result<Self> {
        Self::relay_all(upstream, Duration::ZERO, &[], Some(bytes_per_second))
    }

    fn relay_all(
        upstream: &str,
        delay: Duration,
        hidden: &'static [&'static str],
        bytes_per_second: Option<u64>,
    ) -> Result<Self> {
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
                spawn(move || relay(client_reader, server, delay, hidden));
                spawn(move || match bytes_per_second {
                    Some(rate) => relay_paced(server_reader, client, rate),
                    None => relay(server_reader, client, Duration::ZERO, &[]),
                });
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

fn relay(mut from: TcpStream, mut to: TcpStream, delay: Duration, hidden: &[&str]) {
    let mut buffer = vec![0; 64 * 1024];
    // What may be the begin of a hidden text waits for what follows; heads of requests end with an empty line, which is none.
    let mut held = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        sleep(delay);
        held.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let ready = hidden.iter().map(|hidden| hide(&mut held, hidden.as_bytes())).min();
        let ready = ready.unwrap_or(held.len());
        let sent: Vec<u8> = held.drain(..ready).collect();
        if to.write_all(&sent).is_err() {
            break;
        }
    }
    let _ = to.write_all(&held);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Passes bytes on at a rate. Time in which none came cannot be made up for.
fn relay_paced(mut from: TcpStream, mut to: TcpStream, bytes_per_second: u64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut free_at = Instant::now();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let began = Instant::now().max(free_at);
        if to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
            break;
        }
        free_at = began + Duration::from_micros(read as u64 * 1_000_000 / bytes_per_second.max(1));
        sleep(free_at.saturating_duration_since(Instant::now()));
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Hides a text wherever it stands, and answers how many bytes cannot be a part of it any more.
fn hide(bytes: &mut [u8], hidden: &[u8]) -> usize {
    while let Some(at) = bytes.windows(hidden.len()).position(|part| part == hidden) {
        if let Some(first) = bytes.get_mut(at) {
            *first = b'x';
        }
    }
    let longest = hidden.len().saturating_sub(1).min(bytes.len());
    let is_begin = |length: &usize| {
        let (end, begin) = (bytes.get(bytes.len() - length..), hidden.get(..*length));
        end.is_some() && end == begin
    };
    bytes.len() - (1..=longest).rev().find(is_begin).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_hidden_wherever_it_is_cut() {
        let said = b"Accept: a/secret, b\r\nAccept: a/secret\r\n\r\n";
        for cut in 0..said.len() {
            let (mut held, mut sent) = (Vec::new(), Vec::new());
            for part in [&said[..cut], &said[cut..]] {
                held.extend_from_slice(part);
                let ready = hide(&mut held, b"a/secret");
                sent.extend(held.drain(..ready));
            }
            assert_eq!(sent, b"Accept: x/secret, b\r\nAccept: x/secret\r\n\r\n", "{cut}");
        }
    }
}
