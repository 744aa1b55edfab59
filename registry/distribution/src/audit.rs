// SPDX-License-Identifier: Apache-2.0
//! The request as the audit log sees it, from its arrival to the head of its answer.

use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hythe_access::{AuditLog, CLIENT_GONE, Facts, RequestId, Trail};
use hythe_model::Reference;

use crate::account::{Site, split_account};
use crate::oci_error::OciError;
use crate::route::{Operation, Route};
use crate::{ConnectionInfo, Registry};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CLIENT_GONE_TEXT: &str = "the client went away before it was answered";
/// The longest name of a client that is kept, in bytes.
const MAX_AGENT_BYTES: usize = 256;

/// A request that will be recorded, however it ends.
#[derive(Debug)]
pub(crate) struct Audited {
    log: Arc<dyn AuditLog>,
    trail: Trail,
}

impl Audited {
    /// `None` if nobody wants records.
    pub(crate) fn begin<B>(registry: &Registry, route: Option<&'static Route>, request: &Request<B>) -> Option<Self> {
        let log = Arc::clone(registry.audit_log()?);
        let (operation, default_event, is_change) = route.map_or(("unknown", "Unknown", false), describe);
        let connection = request.extensions().get::<ConnectionInfo>();
        let facts = Facts {
            operation,
            default_event,
            is_change,
            source_ip: connection.map(|connection| connection.peer.ip()),
            ..Facts::default()
        };
        let trail = Trail::without_id(registry.now(), facts);
        if is_change {
            trail.request_or(|| log.next_request(trail.began_at()));
        }
        Some(Self { log, trail })
    }

    pub(crate) fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// Whether the request must be turned away, as it could not be recorded.
    pub(crate) fn is_full(&self) -> bool {
        self.log.is_full()
    }

    /// The id that finds the record, for a client that is told it.
    pub(crate) fn request_id(&self) -> &RequestId {
        self.trail.request_or(|| self.log.next_request(self.trail.began_at()))
    }

    /// Notes what the client is told. An answer that is no success carries the id that finds the record.
    pub(crate) fn answered(self, status: StatusCode, error: Option<(&'static str, String)>, headers: &mut HeaderMap) {
        if !status.is_success()
            && let Ok(id) = HeaderValue::try_from(self.request_id().to_string())
        {
            headers.insert(REQUEST_ID, id);
        }
        let error = error.map(|(code, message)| (code.into(), message));
        self.trail.set_answer(status.as_u16(), error);
    }
}

/// Also of a request whose client did not wait for an answer.
impl Drop for Audited {
    fn drop(&mut self) {
        if self.trail.add(|facts| facts.status == 0) {
            let error = ("CLIENT_GONE".into(), CLIENT_GONE_TEXT.into());
            self.trail.set_answer(CLIENT_GONE, Some(error));
        }
        self.log.finished(&self.trail);
    }
}

/// Notes what a request names, which counts where it does not come to a decision.
pub(crate) fn note_named(site: &Site, name: &str) {
    Trail::note(|facts| {
        let (account, written) = split_account(name);
        facts.account = Some(account.unwrap_or_else(|| site.account("")));
        facts.repository = (!written.is_empty()).then(|| written.into());
    });
}

/// Notes what the client of a request calls itself of which nobody knows who sends it.
pub(crate) fn note_agent(headers: &HeaderMap) {
    Trail::note(|facts| facts.user_agent = user_agent(headers));
}

/// Notes the image that a request names.
pub(crate) fn note_reference(reference: &Reference) {
    Trail::note(|facts| match reference {
        Reference::Tag(tag) => facts.tag = Some(tag.clone()),
        Reference::Digest(digest) => facts.digest = Some(*digest),
    });
}

pub(crate) fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.get(..MAX_AGENT_BYTES).unwrap_or(text).into())
}

/// What an operation is called, the name of its event, and whether it is there to change something.
fn describe(route: &'static Route) -> (&'static str, &'static str, bool) {
    let event = route
        .action
        .and_then(|action| action.as_str().split_once(':'))
        .map(|(_, name)| name);
    let (name, own_event, is_change) = match route.operation {
        Operation::Ping => ("registry.ping", "Ping", false),
        Operation::TokenGet | Operation::TokenPost => ("token.issue", "GetAuthorizationToken", false),
        Operation::CatalogList => ("repository.list", "", false),
        Operation::BlobHead => ("blob.check", "", false),
        Operation::BlobGet => ("blob.read", "", false),
        Operation::BlobDelete => ("blob.delete", "", true),
        Operation::UploadBegin => ("upload.begin", "", true),
        Operation::UploadStatus => ("upload.status", "", false),
        Operation::UploadAppend => ("upload.append", "", true),
        Operation::UploadFinish => ("upload.finish", "", true),
        Operation::UploadCancel => ("upload.cancel", "", true),
        Operation::ManifestHead => ("manifest.head", "", false),
        Operation::ManifestGet => ("manifest.get", "", false),
        Operation::ManifestPut => ("manifest.put", "", true),
        Operation::ManifestDelete => ("manifest.delete", "", true),
        Operation::TagsList => ("tags.list", "", false),
        Operation::ReferrersList => ("referrers.list", "ListImageReferrers", false),
    };
    (name, event.unwrap_or(own_event), is_change)
}

/// The code and the text of an error, for the record.
pub(crate) fn described(error: &OciError) -> (&'static str, String) {
    (error.code(), error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn every_operation_has_a_name_and_an_event() {
        for route in routes() {
            let (name, event, is_change) = describe(route);
            assert!(name.contains('.') && !event.is_empty(), "{route:?}");
            let is_read = ["GET", "HEAD"].contains(&route.method.as_str()) || name == "token.issue";
            assert_eq!(is_change, !is_read, "{route:?}");
        }
    }
}
