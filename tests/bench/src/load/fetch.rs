// SPDX-License-Identifier: Apache-2.0
//! GET and HEAD in a closed loop over many connections, from one thread that does next to nothing.
//!
//! Bodies are dropped inside the kernel: `recv` with `MSG_TRUNC` on a TCP socket takes bytes off the queue without
//! copying them (tcp(7)). Bodies over TLS are decrypted, and dropped then. What is checked is the status and the length of
//! every answer; whether the bytes are the right ones is checked once, outside the clock.

use std::io::{BufRead as _, ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{Timespec, epoll};
use rustix::net::{RecvFlags, recv};
use rustls::ClientConnection;

use super::connection::ANSWER_LIMIT;
use super::endpoint::Endpoint;
use super::head::{self, Framing, MAX_HEAD_BYTES};
use super::latency::{Latencies, MAX_SAMPLES};

/// Bytes dropped by one call. The buffer behind it is never written to, hence never backed by memory.
const DROP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes read at once where they are needed: a small answer comes whole.
const READ_BYTES: usize = 8 * 1024;
/// Bytes of TLS records read at once.
const TLS_READ_BYTES: usize = 256 * 1024;
/// Readiness reports taken at once.
const EVENTS: usize = 64;

/// What to ask for, how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// `GET` or `HEAD`.
    pub method: &'static str,
    /// What.
    pub target: String,
    /// Further header lines, each ended by CRLF.
    pub headers: String,
    /// How long the body is.
    pub bytes: u64,
    /// How many connections ask at once.
    pub connections: usize,
    /// When to stop. What is under way then counts with the bytes that have come.
    pub length: Duration,
}

/// What came of a plan.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Answers that came whole.
    pub requests: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// Of every whole answer.
    pub latencies: Latencies,
}

/// Carries out a plan. `started` is called when all connections stand, `ended` when the time is over and they still do.
pub fn run(plan: &Plan, started: impl FnOnce() -> Result<()>, ended: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let request = plan.endpoint.head(plan.method, &plan.target, &plan.headers);
    let mut clients = Vec::new();
    for number in 0..plan.connections {
        let client = Client::connect(&plan.endpoint)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&poll, &client.socket, data, epoll::EventFlags::IN)?;
        clients.push(client);
    }
    started()?;
    let mut outcome = Outcome::default();
    let mut buffers = Buffers {
        read: vec![0; READ_BYTES],
        tls: vec![0; TLS_READ_BYTES],
        drop: vec![0; DROP_BYTES],
    };
    let mut events = Vec::with_capacity(EVENTS);
    let begin = Instant::now();
    for client in &mut clients {
        client.ask(&request)?;
    }
    let mut last_progress = begin;
    while begin.elapsed() < plan.length && outcome.latencies.count() < MAX_SAMPLES {
        ensure!(!e2e::process::is_interrupted(), "interrupted");
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
            Ok(0) => ensure!(
                last_progress.elapsed() < ANSWER_LIMIT,
                "no answer within {ANSWER_LIMIT:?}"
            ),
            Ok(_) => last_progress = Instant::now(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let client = clients.get_mut(number).context("an event of no connection")?;
            if client.progress(plan, &mut buffers, &mut outcome)? {
                outcome.requests += 1;
                outcome.latencies.add(client.asked.elapsed());
                client.ask(&request)?;
            }
        }
    }
    outcome.took = begin.elapsed();
    ended()?;
    Ok(outcome)
}

struct Buffers {
    read: Vec<u8>,
    tls: Vec<u8>,
    drop: Vec<u8>,
}

struct Client {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    asked: Instant,
    head: Vec<u8>,
    /// Bytes of the body that have not come yet; `None` while the head comes.
    left: Option<u64>,
}

impl Client {
    fn connect(endpoint: &Endpoint) -> Result<Self> {
        let mut socket = TcpStream::connect_timeout(&endpoint.address, ANSWER_LIMIT)
            .with_context(|| format!("cannot connect to {}", endpoint.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut tls = None;
        if let Some(config) = &endpoint.tls {
            let mut session = ClientConnection::new(config.clone(), endpoint.server_name())?;
            while session.is_handshaking() {
                session.complete_io(&mut socket).context("no TLS handshake")?;
            }
            tls = Some(session);
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            tls,
            asked: Instant::now(),
            head: Vec::with_capacity(READ_BYTES),
            left: None,
        })
    }

    /// Sends the request; it is far smaller than any socket's buffer.
    fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.head.clear();
        self.left = None;
        self.asked = Instant::now();
        match &mut self.tls {
            None => self.socket.write_all(request)?,
            Some(session) => {
                session.writer().write_all(request)?;
                while session.wants_write() {
                    session.write_tls(&mut self.socket)?;
                }
            }
        }
        Ok(())
    }

    /// Takes what has come; true if that was the end of an answer.
    fn progress(&mut self, plan: &Plan, buffers: &mut Buffers, outcome: &mut Outcome) -> Result<bool> {
        if self.tls.is_some() {
            return self.progress_tls(plan, buffers, outcome);
        }
        let received = match self.left {
            None => recv(&self.socket, buffers.read.as_mut_slice(), RecvFlags::empty()),
            Some(left) => {
                // Never more than the rest of this body.
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffers.drop.len());
                let room = buffers.drop.get_mut(..most).unwrap_or_default();
                recv(&self.socket, room, RecvFlags::TRUNC)
            }
        };
        let count = match received {
            Ok((_, 0)) => bail!("the server closed a connection in the middle of an answer"),
            Ok((_, count)) => count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.left.is_some() {
            return self.body(count, outcome);
        }
        let part = buffers.read.get(..count).unwrap_or_default();
        self.text(part, plan, outcome)
    }

    fn progress_tls(&mut self, plan: &Plan, buffers: &mut Buffers, outcome: &mut Outcome) -> Result<bool> {
        let count = match recv(&self.socket, buffers.tls.as_mut_slice(), RecvFlags::empty()) {
            Ok((_, 0)) => bail!("the server closed a connection in the middle of an answer"),
            Ok((_, count)) => count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut records = buffers.tls.get(..count).unwrap_or_default();
        let mut is_whole = false;
        while !records.is_empty() {
            let Some(mut session) = self.tls.take() else {
                bail!("no TLS")
            };
            session.read_tls(&mut records)?;
            session.process_new_packets()?;
            loop {
                let mut reader = session.reader();
                let text = match reader.fill_buf() {
                    Ok([]) => bail!("the server closed a connection in the middle of an answer"),
                    Ok(text) => text,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let count = text.len();
                // One answer at a time: nothing follows a body before the next request.
                is_whole = if self.left.is_some() {
                    self.body(count, outcome)?
                } else {
                    self.text(text, plan, outcome)?
                };
                session.reader().consume(count);
            }
            self.tls = Some(session);
        }
        Ok(is_whole)
    }

    /// Reads the head, and what of the body came with it.
    fn text(&mut self, part: &[u8], plan: &Plan, outcome: &mut Outcome) -> Result<bool> {
        self.head.extend_from_slice(part);
        ensure!(self.head.len() <= MAX_HEAD_BYTES + TLS_READ_BYTES, "an endless head");
        let Some(head) = head::parse(&self.head)? else {
            return Ok(false);
        };
        ensure!(
            head.status == 200,
            "{} instead of 200 for {}: {}",
            head.status,
            plan.target,
            String::from_utf8_lossy(&self.head)
        );
        ensure!(
            head.framing == Framing::Length(plan.bytes),
            "{:?} instead of {} bytes for {}",
            head.framing,
            plan.bytes,
            plan.target
        );
        ensure!(!head.closes, "the server does not keep connections");
        self.left = Some(if plan.method == "HEAD" { 0 } else { plan.bytes });
        self.body(self.head.len() - head.bytes, outcome)
    }

    fn body(&mut self, count: usize, outcome: &mut Outcome) -> Result<bool> {
        let left = self.left.and_then(|left| left.checked_sub(count as u64));
        ensure!(left.is_some(), "a body was longer than announced");
        self.left = left;
        outcome.bytes += count as u64;
        Ok(left == Some(0))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    /// The harness rests on this: bytes are taken off the queue, and the buffer is left alone.
    #[test]
    fn the_kernel_drops_bytes_without_copying_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        sender.write_all(&[b'x'; 1000]).unwrap();
        sender.write_all(b"rest").unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
        let mut buffer = vec![7_u8; 1000];
        let mut dropped = 0;
        while dropped < 1000 {
            let room = &mut buffer[..1000 - dropped];
            let (_, count) = recv(&receiver, room, RecvFlags::TRUNC).unwrap();
            dropped += count;
        }
        assert!(buffer.iter().all(|byte| *byte == 7));
        let mut rest = String::new();
        receiver.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "rest");
    }
}
