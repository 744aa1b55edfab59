// SPDX-License-Identifier: Apache-2.0
//! What can go wrong between a client and a server.

use std::error::Error as _;
use std::time::Duration;

use hythe_wire::{Problem, code};
use reqwest::StatusCode;

/// Why a call of the control plane gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server says no, and why.
    #[error("{}", shown(*.status, .problem))]
    Problem {
        /// The HTTP status.
        status: StatusCode,
        /// The server's explanation.
        problem: Box<Problem>,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Nobody answers at the endpoint.
    #[error("cannot connect to `{endpoint}`: {cause}")]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// The innermost cause.
        cause: String,
    },
    /// No answer in time.
    #[error("`{endpoint}` did not answer in time")]
    Timeout {
        /// The endpoint.
        endpoint: String,
    },
    /// The TLS handshake failed.
    #[error("no trusted connection to `{endpoint}`: {cause}")]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// The innermost cause.
        cause: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The connection ended in the middle.
    #[error("the connection to `{endpoint}` broke: {cause}")]
    Broken {
        /// The endpoint.
        endpoint: String,
        /// The innermost cause.
        cause: String,
    },
    /// The answer is not one of this API.
    #[error("`{endpoint}` gave an answer that a Hythe server does not give: {what}")]
    Decode {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        what: String,
    },
    /// The client cannot be set up, or a request cannot be made.
    #[error("{0}")]
    Setup(String),
}

impl ClientError {
    /// The code of the server's problem, such as `RepositoryNotFoundException`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { problem, .. } => Some(&problem.code),
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Tls { .. }
            | Self::Broken { .. }
            | Self::Decode { .. }
            | Self::Setup(_) => None,
        }
    }

    /// The HTTP status of the server's problem.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Problem { status, .. } => Some(*status),
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Tls { .. }
            | Self::Broken { .. }
            | Self::Decode { .. }
            | Self::Setup(_) => None,
        }
    }

    /// Whether the server says that the thing asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether no policy allows the caller to do this.
    #[must_use]
    pub fn is_access_denied(&self) -> bool {
        self.code() == Some(code::ACCESS_DENIED)
    }

    /// Whether the resource is no longer what `If-Match` said.
    #[must_use]
    pub fn is_precondition_failed(&self) -> bool {
        self.status() == Some(StatusCode::PRECONDITION_FAILED)
    }

    /// What to do about it, where that is more than the message says.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Problem { problem, .. } => match problem.code.as_str() {
                code::UNRECOGNIZED_CLIENT => Some("check the access key id and its secret, or the token"),
                code::EXPIRED_TOKEN => Some("get a new token, or use an access key"),
                _ => None,
            },
            Self::Connect { .. } => {
                Some("is the server running, and is the endpoint its control plane's (port 8080 by default)?")
            }
            Self::Tls { hint, .. } => Some(hint),
            Self::Decode { .. } => Some("is the endpoint the URL of a Hythe control plane (port 8080 by default)?"),
            Self::Broken { cause, .. } if cause.contains("HTTP version") => {
                Some("the server may want TLS there; try `https://`")
            }
            Self::Timeout { .. } | Self::Broken { .. } | Self::Setup(_) => None,
        }
    }

    /// Sorts an error of the HTTP client.
    pub(crate) fn of_transport(error: &reqwest::Error, endpoint: &str) -> Self {
        let endpoint = endpoint.to_owned();
        let cause = innermost(error);
        if let Some(tls) = tls_error(error) {
            return Self::Tls {
                endpoint,
                cause: tls.to_string(),
                hint: tls_hint(tls),
            };
        }
        if error.is_timeout() {
            Self::Timeout { endpoint }
        } else if error.is_connect() {
            Self::Connect { endpoint, cause }
        } else if error.is_builder() {
            Self::Setup(format!("cannot make the request: {cause}"))
        } else {
            Self::Broken { endpoint, cause }
        }
    }
}

fn shown(status: StatusCode, problem: &Problem) -> String {
    let text = [&problem.detail, &problem.title]
        .into_iter()
        .find(|text| !text.is_empty());
    let text = text.map_or_else(|| format!("the server answered {status}"), Clone::clone);
    match &problem.pointer {
        Some(pointer) if !pointer.is_empty() => format!("{text} (at `{pointer}`)"),
        _ => text,
    }
}

/// The last error of the chain, which says most; reqwest's own texts add the URL and little else.
fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    if std::ptr::addr_eq(last, error) {
        "the request failed".to_owned()
    } else {
        last.to_string()
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An I/O error shows not the error that it wraps as its source, but that one's source.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn tls_hint(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the certificate is for another host name; use the name that it is for in the endpoint"
        }
        rustls::Error::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        ) => "check the certificate's dates and this machine's clock",
        rustls::Error::InvalidCertificate(_) => {
            "if the server uses a private certificate authority, name its PEM file with `--ca-bundle` or HYTHE_CA_BUNDLE"
        }
        rustls::Error::InvalidMessage(_) => "the server may speak plain HTTP there; try `http://`",
        _ => "the server refused the TLS handshake",
    }
}
