// SPDX-License-Identifier: Apache-2.0
//! The head of a response, read as cheaply as the clients need it.

use anyhow::{Context, Result, bail};

/// Longest head that is read, in bytes.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What the end of the body is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// How the body ends, by the headers (a HEAD request has none whatever they say).
    pub framing: Framing,
    /// How long the head is, with its empty line.
    pub bytes: usize,
    /// Whether the server closes the connection behind it.
    pub closes: bool,
}

/// Reads the head at the beginning of `bytes`; `None` if it is not all there yet.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() >= MAX_HEAD_BYTES {
            bail!("the head of a response is longer than {MAX_HEAD_BYTES} bytes");
        }
        return Ok(None);
    };
    let text = bytes.get(..end).unwrap_or_default();
    let mut lines = text.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default().get(9..12).unwrap_or_default();
    let status = std::str::from_utf8(status).ok().and_then(|code| code.parse().ok());
    let mut head = Head {
        status: status.with_context(|| format!("not a response: {:?}", String::from_utf8_lossy(text)))?,
        framing: Framing::Length(0),
        bytes: end + 4,
        closes: false,
    };
    for line in lines {
        if let Some(value) = value_of(line, b"content-length:") {
            head.framing = Framing::Length(value.parse().context("not a Content-Length")?);
        } else if value_of(line, b"transfer-encoding:").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
            head.framing = Framing::Chunked;
        } else if value_of(line, b"connection:").is_some_and(|it| it.eq_ignore_ascii_case("close")) {
            head.closes = true;
        }
    }
    Ok(Some(head))
}

/// The value of a header line if it has that name (lower case, with its colon).
pub fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (start, value) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(value).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let whole = b"HTTP/1.1 200 OK\r\nDate: x\r\nCONTENT-LENGTH: 12\r\n\r\nbody";
        let wanted = Head {
            status: 200,
            framing: Framing::Length(12),
            bytes: whole.len() - 4,
            closes: false,
        };
        assert_eq!(parse(whole).unwrap(), Some(wanted));
        for end in 0..whole.len() - 4 {
            assert_eq!(parse(&whole[..end]).unwrap(), None, "{end}");
        }
        let chunked = b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n";
        let head = parse(chunked).unwrap().unwrap();
        assert_eq!((head.status, head.framing, head.closes), (404, Framing::Chunked, true));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for wrong in [
            b"garbage\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            &[b'x'; MAX_HEAD_BYTES],
        ] {
            assert!(parse(wrong).is_err());
        }
    }
}
