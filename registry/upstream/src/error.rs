// SPDX-License-Identifier: Apache-2.0
//! What goes wrong with another registry.

use std::error::Error;
use std::time::Duration;

use crate::reach::BlockedAddress;

/// Why another registry did not give what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, or one that broke.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time, or sends too slowly.
    #[error("the registry takes too long: {0}")]
    Timeout(&'static str),
    /// It wants other credentials, or does not let these in.
    #[error("the registry refuses access")]
    Denied,
    /// It has no such thing.
    #[error("the registry does not have it")]
    NotFound,
    /// It wants fewer requests.
    #[error("the registry wants fewer requests")]
    TooManyRequests {
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// It answered with a status that helps nobody.
    #[error("the registry answered with status {status}")]
    Server {
        /// The status.
        status: u16,
    },
    /// Its answer is not what it should be.
    #[error("the answer of the registry is not valid: {0}")]
    Invalid(String),
    /// The address may not be reached.
    #[error("`{0}` may not be reached from here; the operator allows networks with `outgoing.allow`")]
    Blocked(String),
}

impl UpstreamError {
    /// Whether asking again, later, may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::TooManyRequests { .. } => true,
            Self::Server { status } => *status >= 500,
            Self::Denied | Self::NotFound | Self::Invalid(_) | Self::Blocked(_) => false,
        }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }
}

const NO_TLS: &str = "it does not speak TLS there; if that is meant to be, write `http://` before its address";

/// Whether what answered to a TLS handshake was no TLS.
fn is_without_tls(error: &(dyn Error + 'static)) -> bool {
    use rustls::InvalidMessage::InvalidContentType;
    matches!(
        error.downcast_ref(),
        Some(rustls::Error::InvalidMessage(InvalidContentType))
    )
}

impl From<reqwest::Error> for UpstreamError {
    fn from(error: reqwest::Error) -> Self {
        let mut text = String::new();
        let mut cause: Option<&dyn Error> = Some(&error);
        // The outermost text repeats the URL, which everybody knows who sees this.
        while let Some(error) = cause {
            if let Some(blocked) = error.downcast_ref::<BlockedAddress>() {
                return Self::Blocked(blocked.0.clone());
            }
            if is_without_tls(error) {
                text = NO_TLS.into();
                break;
            }
            text = error.to_string();
            // An I/O error shows not the error that it wraps as its source, but that one's source.
            cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        if error.is_timeout() {
            return Self::Timeout("no connection within the time for it");
        }
        Self::Unreachable(text)
    }
}
