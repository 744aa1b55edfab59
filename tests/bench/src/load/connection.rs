// SPDX-License-Identifier: Apache-2.0
//! A blocking, kept-alive connection: one thread, one request after the other, plain or TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::registry::digest_text;
use rustls::{ClientConnection, StreamOwned};
use sha2::{Digest as _, Sha256};

use super::body::Body;
use super::endpoint::Endpoint;
use super::head::{self, Framing, Head, MAX_HEAD_BYTES, value_of};

/// How long a server may be silent before a measurement fails.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest body that is kept.
const MAX_KEPT_BYTES: u64 = 64 * 1024 * 1024;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to one server.
pub struct Connection {
    endpoint: Endpoint,
    stream: Stream,
    buffer: Vec<u8>,
    /// What of the buffer is read and not used.
    start: usize,
    end: usize,
}

/// An answer with its body.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer with another status than it should have.
#[derive(Debug)]
pub struct Unexpected {
    status: u16,
    expected: u16,
    retry_after: Option<Duration>,
    body: String,
}

impl Unexpected {
    /// How long to wait, if the server is too busy and says so (RFC 9110, section 15.6.4; RFC 6585, section 4).
    #[must_use]
    pub fn busy(&self) -> Option<Duration> {
        self.retry_after.filter(|_| matches!(self.status, 429 | 503))
    }
}

impl std::fmt::Display for Unexpected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} instead of {}: {}", self.status, self.expected, self.body)
    }
}

impl std::error::Error for Unexpected {}

/// What a body took that nobody kept.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// From the request to the first byte of the body.
    pub first_byte: Duration,
    /// How long it was.
    pub bytes: u64,
}

impl Answer {
    /// Insists on a status.
    ///
    /// # Errors
    /// [`Unexpected`].
    pub fn expect(self, status: u16) -> Result<Self, Unexpected> {
        if self.status == status {
            return Ok(self);
        }
        let body = self.body.get(..self.body.len().min(500)).unwrap_or_default();
        let retry_after = self.header("retry-after").and_then(|seconds| seconds.parse().ok());
        Err(Unexpected {
            status: self.status,
            expected: status,
            retry_after: retry_after.map(Duration::from_secs),
            body: String::from_utf8_lossy(body).into_owned(),
        })
    }

    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = format!("{name}:");
        self.head
            .lines()
            .find_map(|line| value_of(line.as_bytes(), name.as_bytes()))
    }

    /// Path and query of its `Location`.
    pub fn location(&self) -> Result<&str> {
        let location = self.header("location").context("no Location")?;
        Ok(match location.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => location,
        })
    }
}

impl Connection {
    /// Connects, with the TLS handshake if there is one.
    pub fn open(endpoint: &Endpoint) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&endpoint.address, ANSWER_LIMIT)
            .with_context(|| format!("cannot connect to {}", endpoint.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        socket.set_write_timeout(Some(ANSWER_LIMIT))?;
        let stream = match &endpoint.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let session = ClientConnection::new(config.clone(), endpoint.server_name())?;
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Self {
            endpoint: endpoint.clone(),
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// Sends a request with a body and reads the answer. `headers`: further lines, each ended by CRLF.
    pub fn call(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        let mut bytes = self.request(method, target, headers, body.len());
        bytes.extend_from_slice(body);
        self.write(&bytes)?;
        self.answer(method == "HEAD")
    }

    /// Sends a request whose body is one of ours, without chunks, and reads the answer.
    pub fn call_with(&mut self, method: &str, target: &str, headers: &str, body: &Body<'_>) -> Result<Answer> {
        let mut first = self.request(method, target, headers, body.bytes());
        // A small body goes out with its head, in one packet.
        if body.bytes() <= BUFFER_BYTES {
            body.parts().for_each(|part| first.extend_from_slice(part));
            self.write(&first)?;
        } else {
            self.write(&first)?;
            for part in body.parts() {
                self.write(part)?;
            }
        }
        self.answer(false)
    }

    /// The same in chunks of unknown number, as a client that makes the body while it sends it.
    pub fn call_streamed(&mut self, method: &str, target: &str, headers: &str, body: &Body<'_>) -> Result<Answer> {
        let more = format!("Transfer-Encoding: chunked\r\n{headers}");
        let head = self.endpoint.head(method, target, &more);
        self.write(&head)?;
        for part in body.parts().flat_map(|part| part.chunks(BUFFER_BYTES)) {
            self.write(format!("{:x}\r\n", part.len()).as_bytes())?;
            self.write(part)?;
            self.write(b"\r\n")?;
        }
        self.write(b"0\r\n\r\n")?;
        self.answer(false)
    }

    /// Sends the head of a request with a body of `length` bytes, and only the beginning of that body.
    pub fn begin(&mut self, method: &str, target: &str, length: usize, beginning: &[u8]) -> Result<()> {
        let mut bytes = self.request(method, target, "", length);
        bytes.extend_from_slice(beginning);
        self.write(&bytes)
    }

    /// Gets something of which only the digest and the size matter, hashed as it comes.
    pub fn digest_of(&mut self, target: &str, headers: &str) -> Result<(String, u64)> {
        let bytes = self.endpoint.head("GET", target, headers);
        self.write(&bytes)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let (head, _) = self.receive(false, &mut |part| {
            hash.update(part);
            size += part.len() as u64;
            Ok(())
        })?;
        ensure!(head.status == 200, "{} instead of 200 for {target}", head.status);
        Ok((digest_text(&hash.finalize()), size))
    }

    /// Gets something of which only the time and the size matter.
    pub fn timed(&mut self, target: &str) -> Result<Timed> {
        let bytes = self.endpoint.head("GET", target, "");
        let began = Instant::now();
        self.write(&bytes)?;
        let (mut first_byte, mut size) = (None, 0);
        let (head, _) = self.receive(false, &mut |part| {
            first_byte.get_or_insert_with(|| began.elapsed());
            size += part.len() as u64;
            Ok(())
        })?;
        ensure!(head.status == 200, "{} instead of 200 for {target}", head.status);
        Ok(Timed {
            first_byte: first_byte.unwrap_or_else(|| began.elapsed()),
            bytes: size,
        })
    }

    fn request(&self, method: &str, target: &str, headers: &str, length: usize) -> Vec<u8> {
        let has_body = length > 0 || matches!(method, "POST" | "PUT" | "PATCH");
        let more = if has_body {
            format!("Content-Length: {length}\r\n{headers}")
        } else {
            headers.to_owned()
        };
        self.endpoint.head(method, target, &more)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(session) => session.write_all(bytes),
        };
        written.context("the server stopped reading")
    }

    fn answer(&mut self, is_head: bool) -> Result<Answer> {
        let mut body = Vec::new();
        let (head, text) = self.receive(is_head, &mut |part| {
            body.extend_from_slice(part);
            ensure!(body.len() as u64 <= MAX_KEPT_BYTES, "an endless answer");
            Ok(())
        })?;
        Ok(Answer {
            status: head.status,
            head: text,
            body,
        })
    }

    fn receive(&mut self, is_head: bool, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<(Head, String)> {
        let head = loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            match head::parse(unread)? {
                Some(head) if head.status == 100 => self.start += head.bytes,
                Some(head) => break head,
                None => self.fill()?,
            }
        };
        let text = self.take(head.bytes);
        let text = String::from_utf8_lossy(&text).into_owned();
        if is_head || matches!(head.status, 204 | 304) {
            return Ok((head, text));
        }
        match head.framing {
            Framing::Length(length) => self.pass(length, sink)?,
            Framing::Chunked => loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).with_context(|| format!("not a chunk size: `{line}`"))?;
                self.pass(size, sink)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok((head, text))
    }

    fn pass(&mut self, mut left: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while left > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let take = unread.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(unread.get(..take).unwrap_or_default())?;
            self.start += take;
            left -= take as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(at) = unread.iter().position(|byte| *byte == b'\n') {
                let line = self.take(at + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            ensure!(unread.len() < MAX_HEAD_BYTES, "an endless line");
            self.fill()?;
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.buffer.get(self.start..self.start + count).unwrap_or_default();
        self.start += count;
        taken.to_vec()
    }

    /// Reads what there is, at least one byte.
    fn fill(&mut self) -> Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.read(space),
            Stream::Tls(session) => session.read(space),
        };
        match count.context("no answer")? {
            0 => bail!("the server closed the connection"),
            count => self.end += count,
        }
        Ok(())
    }
}
