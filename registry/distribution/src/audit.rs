// SPDX-License-Identifier: Apache-2.0
//! The request as the audit log sees it, from its arrival to the head of its answer.

use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hythe_access::{AuditLog, CLIENT_GONE, Facts, Trail};
use hythe_model::Reference;

use crate::oci_error::OciError;
use crate::route::{Operation, Route};
use crate::{ConnectionInfo, Registry};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
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
            is_secure: connection.is_some_and(|connection| connection.is_tls),
            user_agent: user_agent(request.headers()),
            ..Facts::default()
        };
        let trail = Trail::new(registry.now(), log.next_request(), facts);
        Some(Self { log, trail })
    }

    pub(crate) fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// Whether the request must be turned away, as it could not be recorded.
    pub(crate) fn is_full(&self) -> bool {
        self.log.is_full()
    }

    /// Notes what the client is told. An answer that is no success carries the id that finds the record.
    pub(crate) fn answered(self, status: StatusCode, error: Option<(&'static str, String)>, headers: &mut HeaderMap) {
        if !status.is_success()
            && let Ok(id) = HeaderValue::try_from(self.trail.request().to_string())
        {
            headers.insert(REQUEST_ID, id);
        }
        self.trail.add(|facts| {
            facts.status = status.as_u16();
            facts.error = error.map(|(code, message)| (code.into(), message));
        });
    }
}

/// Also of a request whose client did not wait for an answer.
impl Drop for Audited {
    fn drop(&mut self) {
        self.trail.add(|facts| {
            if facts.status == 0 {
                facts.status = CLIENT_GONE;
                facts.error = Some((
                    "CLIENT_GONE".into(),
                    "the client went away before it was answered".into(),
                ));
            }
        });
        self.log.finished(self.trail.clone());
    }
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
