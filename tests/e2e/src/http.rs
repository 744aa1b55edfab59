// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 by hand, for tests that must say exactly what goes over the wire: half a body, a wrong length, silence.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take before the test fails.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// Longest line of a response head, in bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON ({}): {}", self.status, self.text()))
    }

    /// Insists on a status.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "expected {status}, got {}: {}",
            self.status,
            self.text()
        );
        Ok(self)
    }
}

/// A kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self {
            address: address.to_owned(),
            stream: BufReader::with_capacity(256 * 1024, stream),
        })
    }

    /// Sends a request with its whole body and reads the answer.
    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            all.push(("Content-Length", &length));
        }
        self.send_head(method, target, &all)?;
        // A server may answer before it has read everything (413): the answer matters more than the broken pipe.
        let _ = self.write(body);
        self.receive(method == "HEAD")
    }

    /// Sends the request line and the headers only.
    pub fn send_head(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let _ = write!(head, "Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream
            .get_mut()
            .write_all(bytes)
            .context("the server stopped reading")
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) -> Result<()> {
        Ok(self.stream.get_mut().shutdown(Shutdown::Write)?)
    }

    /// Reads one answer.
    pub fn receive(&mut self, is_head: bool) -> Result<Response> {
        let mut body = Vec::new();
        let mut response = self.receive_to(is_head, &mut body)?;
        response.body = body;
        Ok(response)
    }

    /// Reads one answer whose body goes to `sink`.
    pub fn receive_to(&mut self, is_head: bool, sink: &mut impl Write) -> Result<Response> {
        let mut response = self.receive_head()?;
        while response.status == 100 {
            response = self.receive_head()?;
        }
        if is_head || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        let length = response.header("content-length").map(str::parse::<u64>).transpose()?;
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            self.receive_chunks(sink)?;
        } else if let Some(length) = length {
            let copied = std::io::copy(&mut self.stream.by_ref().take(length), sink)?;
            ensure!(copied == length, "the body ended after {copied} of {length} bytes");
        } else {
            std::io::copy(&mut self.stream, sink)?;
        }
        Ok(response)
    }

    fn receive_head(&mut self) -> Result<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let Some(status) = status else {
            bail!("not a status line: `{line}`")
        };
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response {
                    status,
                    headers,
                    body: Vec::new(),
                });
            }
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("not a header: `{line}`"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn receive_chunks(&mut self, sink: &mut impl Write) -> Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).with_context(|| format!("not a chunk size: `{line}`"))?;
            let copied = std::io::copy(&mut self.stream.by_ref().take(size), sink)?;
            ensure!(copied == size, "a chunk ended early");
            let end = self.line()?;
            if size == 0 {
                return Ok(());
            }
            ensure!(end.is_empty(), "a chunk was longer than announced");
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        match self.stream.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes) {
            Ok(0) => bail!("the server closed the connection without an answer"),
            Ok(_) => Ok(String::from_utf8_lossy(&bytes)
                .trim_end_matches(['\r', '\n'])
                .to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no answer within {ANSWER_LIMIT:?}")
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends one request on a connection of its own.
pub fn request(address: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
    let mut all = headers.to_vec();
    all.push(("Connection", "close"));
    Connection::open(address)?.send(method, target, &all, body)
}

/// Encodes one path segment or query value.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// `Basic` credentials as a header value.
#[must_use]
pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}
