// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 by hand: every byte of a request is ours, and every byte of an answer is seen.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long a server may be silent.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// Bodies in chunked transfer coding are sent in pieces of this size.
const PIECE_BYTES: usize = 1000;
/// Longest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// By no header at all, which says that there is none.
    None,
    /// `Content-Length`, and only so many bytes of it; then the connection is cut.
    CutAfter(usize),
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

impl Ask {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        let has_body = matches!(method, "POST" | "PUT" | "PATCH");
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            framing: if has_body { Framing::Length } else { Framing::None },
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    pub(crate) fn framed(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.target = e2e::registry::with_query(&self.target, name, value);
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes behind the end of the answer.
    pub(crate) surplus: usize,
}

impl Answer {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut same = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value.as_str())
    }

    /// All headers of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str> {
        self.header(name)
            .with_context(|| format!("no `{name}` in the answer {}", self.status))
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON ({}): {}", self.status, self.text()))
    }

    /// The start of the body, for messages.
    pub(crate) fn text(&self) -> String {
        match str::from_utf8(&self.body) {
            Ok(text) => text.chars().take(1000).collect(),
            Err(_) => format!("{} bytes that are not text", self.body.len()),
        }
    }

    /// [`Answer::text`] without the id of the request, which is the one part of a refusal that
    /// differs whenever the same question is asked twice.
    pub(crate) fn text_without_id(&self) -> String {
        match self.header("x-request-id") {
            Some(id) if !id.is_empty() => self.text().replace(id, "ID"),
            _ => self.text(),
        }
    }

    /// The first error's code; empty without one.
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = body.pointer("/errors/0/code").and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }

    /// Insists on a status.
    pub(crate) fn expect(self, status: u16) -> Result<Self> {
        self.expect_one_of(&[status])
    }

    /// Insists on one of some statuses.
    pub(crate) fn expect_one_of(self, statuses: &[u16]) -> Result<Self> {
        ensure!(
            statuses.contains(&self.status),
            "expected {statuses:?}, got {}: {}",
            self.status,
            self.text()
        );
        Ok(self)
    }

    /// Insists on a status and an error code.
    pub(crate) fn refused(self, status: u16, code: &str) -> Result<Self> {
        let answer = self.expect(status)?;
        ensure!(answer.code() == code, "expected {code}, got {}", answer.text());
        Ok(answer)
    }

    /// Insists on a header's value.
    pub(crate) fn with(self, name: &str, value: &str) -> Result<Self> {
        let found = self.need(name)?;
        ensure!(found == value, "expected `{name}: {value}`, got `{found}`");
        Ok(self)
    }

    /// Insists on a body.
    pub(crate) fn with_body(self, bytes: &[u8]) -> Result<Self> {
        ensure!(
            self.body == bytes,
            "the body has {} bytes that are not the {} expected ones: {}",
            self.body.len(),
            bytes.len(),
            self.text()
        );
        Ok(self)
    }

    /// The path and query of `Location`, which may be absolute or not.
    pub(crate) fn location(&self) -> Result<String> {
        let location = self.need("location")?;
        Ok(match location.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned(),
            None => location.to_owned(),
        })
    }
}

/// A connection to a registry.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        stream.set_write_timeout(Some(SILENCE_LIMIT))?;
        Ok(Self {
            address: address.to_owned(),
            stream,
            pending: Vec::new(),
        })
    }

    /// Sends a request and reads its answer.
    pub(crate) fn talk(&mut self, ask: &Ask) -> Result<Answer> {
        self.send(ask)?;
        self.receive(ask.method == "HEAD")
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, ask: &Ask) -> Result<()> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", ask.method, ask.target, self.address);
        for (name, value) in &ask.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match ask.framing {
            Framing::Length | Framing::CutAfter(_) => {
                let _ = write!(head, "Content-Length: {}\r\n", ask.body.len());
            }
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::None => {}
        }
        head.push_str("\r\n");
        self.stream
            .write_all(head.as_bytes())
            .context("cannot send a request")?;
        let body = match ask.framing {
            Framing::CutAfter(bytes) => ask.body.get(..bytes).unwrap_or(&ask.body),
            Framing::Length | Framing::Chunked | Framing::None => &ask.body,
        };
        // A server may answer before it has read everything (413): its answer matters more than the broken pipe.
        let _broken_pipe = if ask.framing == Framing::Chunked {
            self.send_pieces(body)
        } else {
            self.stream.write_all(body)
        };
        Ok(())
    }

    fn send_pieces(&mut self, body: &[u8]) -> std::io::Result<()> {
        for piece in body.chunks(PIECE_BYTES) {
            self.stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
            self.stream.write_all(piece)?;
            self.stream.write_all(b"\r\n")?;
        }
        self.stream.write_all(b"0\r\n\r\n")
    }

    fn receive(&mut self, is_head: bool) -> Result<Answer> {
        let mut answer = self.receive_head()?;
        while answer.status == 100 {
            answer = self.receive_head()?;
        }
        let has_body = !is_head && !matches!(answer.status, 204 | 304);
        let length = answer.header("content-length").map(str::parse::<usize>).transpose()?;
        let is_chunked = answer.header("transfer-encoding").is_some();
        let is_last = answer
            .header("connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"));
        if has_body {
            answer.body = match (is_chunked, length) {
                (true, None) => self.receive_pieces()?,
                (true, Some(_)) => bail!("an answer has both `Content-Length` and `Transfer-Encoding`"),
                (false, Some(length)) => self.take(length)?,
                (false, None) => bail!("an answer {} does not say how long it is", answer.status),
            };
        }
        if is_last {
            while self.fill()? {}
            answer.surplus = self.pending.len();
        }
        Ok(answer)
    }

    fn receive_head(&mut self) -> Result<Answer> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            ensure!(
                self.pending.len() < MAX_HEAD_BYTES,
                "the head of an answer does not end"
            );
            ensure!(self.fill()?, "the server closed the connection without an answer");
        };
        let head = self.take(end + 4)?;
        let head = String::from_utf8(head).context("the head of an answer is not text")?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok());
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(": ")
                .with_context(|| format!("not a header: `{line}`"))?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        Ok(Answer {
            status: status.with_context(|| format!("not a status line: `{line}`"))?,
            headers,
            body: Vec::new(),
            surplus: 0,
        })
    }

    fn receive_pieces(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.pending.windows(2).position(|window| window == b"\r\n") {
                    break at;
                }
                ensure!(self.fill()?, "a chunked answer breaks off");
            };
            let line = self.take(end + 2)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).with_context(|| format!("not a chunk size: `{line}`"))?;
            body.extend(self.take(size)?);
            ensure!(self.take(2)? == b"\r\n", "a chunk is longer than announced");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>> {
        while self.pending.len() < bytes {
            ensure!(
                self.fill()?,
                "the answer ends after {} of {bytes} bytes",
                self.pending.len()
            );
        }
        Ok(self.pending.drain(..bytes).collect())
    }

    /// Reads what is there; says whether the server may send more.
    fn fill(&mut self) -> Result<bool> {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.pending.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no answer within {SILENCE_LIMIT:?}")
            }
            // What came before a reset is still an answer.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
