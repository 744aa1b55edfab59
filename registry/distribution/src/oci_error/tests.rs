// SPDX-License-Identifier: Apache-2.0
//! Every error there is, with its status, code and message, to be reviewed as a table.

use std::fmt::Write as _;
use std::io;

use hythe_blobs::{BlobError, HashStateError};
use hythe_catalog::MAX_TAGS_PER_IMAGE;
use hythe_formats::{SignatureError, SignerError};
use hythe_model::{AccountId, ParseError, Reference, UploadId};
use hythe_upstream::PullPathError;

use super::*;

fn repository() -> RepositoryPath {
    RepositoryPath {
        account: AccountId::default(),
        name: "team/web".parse().unwrap(),
    }
}

fn digest() -> Digest {
    Digest::new(hythe_model::Algorithm::Sha256, &[0; 32]).unwrap()
}

fn upload() -> UploadId {
    "01234567-89ab-7def-8123-456789abcdef".parse().unwrap()
}

fn parse_error() -> ParseError {
    ParseError::new("thing", "x", "it must be something else")
}

fn failure() -> io::Error {
    io::Error::other("a cause that only the log may see")
}

fn catalog_errors<T: From<CatalogError>>() -> Vec<T> {
    let store = CatalogError::store(failure());
    let errors = [
        CatalogError::RepositoryUnknown(repository()),
        CatalogError::Conflict,
        CatalogError::Busy,
        CatalogError::Full,
        store,
    ];
    errors.into_iter().map(T::from).collect()
}

fn input_errors() -> Vec<InputError> {
    vec![
        InputError::RouteUnknown("/v2/x".into()),
        InputError::MethodNotAllowed {
            method: "BREW".into(),
            allowed: "GET, HEAD".into(),
        },
        InputError::Name(parse_error()),
        InputError::Digest(parse_error()),
        InputError::DigestAbsent,
        InputError::Tag(parse_error()),
        InputError::TagsBesideTag,
        InputError::TooManyTags(100),
        InputError::ReferenceUnknown(parse_error()),
        InputError::UploadUnknown("7".into()),
        InputError::PageSize("x".into()),
        InputError::ContentRange("x".into()),
        InputError::LengthMismatch { range: 2, length: 1 },
        InputError::GrantType,
        InputError::TooManyScopes(100),
        InputError::Replica(parse_error()),
        InputError::PullPath(parse_error()),
        InputError::ReplicaLoop("eu/000000000000".parse().unwrap()),
    ]
}

fn blob_errors() -> Vec<BlobReadError> {
    let mut errors = vec![
        BlobReadError::RepositoryUnknown(repository()),
        BlobReadError::Unknown(digest()),
        BlobReadError::RangeUnsatisfiable { size: 5 },
        BlobReadError::BytesMissing(digest()),
        BlobReadError::Damaged(digest()),
        BlobReadError::Store(BlobError(failure())),
    ];
    errors.extend(catalog_errors());
    errors
}

fn upload_errors() -> Vec<UploadError> {
    let mut errors = vec![
        UploadError::Unknown(upload()),
        UploadError::OutOfOrder { start: 7, received: 5 },
        UploadError::Broken {
            received: 5,
            source: failure(),
        },
        UploadError::Stalled {
            received: 5,
            source: io::Error::other("the body stalled: 60 seconds brought 0 bytes"),
        },
        UploadError::TooLarge(100),
        UploadError::DigestMismatch {
            expected: Box::new(digest()),
            actual: Box::new(digest()),
        },
        UploadError::Busy(upload()),
        UploadError::Full(failure()),
        UploadError::HashState(HashStateError::Damaged),
        UploadError::Store(failure()),
        UploadError::Read(BlobError(failure())),
    ];
    errors.extend(catalog_errors());
    errors
}

fn put_errors() -> Vec<PutManifestError> {
    let mut causes = vec![
        PutImageError::BlobsUnknown(vec![digest(); 30]),
        PutImageError::ChildrenUnknown(vec![digest()]),
        PutImageError::TagImmutable {
            tag: "v1".parse().unwrap(),
            repository: "team/web".into(),
        },
        PutImageError::TooManyTags,
    ];
    causes.extend(catalog_errors());
    let mut errors = vec![
        PutManifestError::DigestMismatch {
            expected: Box::new(digest()),
            actual: Box::new(digest()),
        },
        PutManifestError::Invalid(ManifestError::TooLarge),
        PutManifestError::Invalid(ManifestError::Syntax("at line 1".into())),
        PutManifestError::Invalid(ManifestError::MediaType("text/plain".into())),
        PutManifestError::Invalid(ManifestError::MediaTypeMismatch {
            body: "a/b".into(),
            header: "c/d".into(),
        }),
        PutManifestError::Invalid(ManifestError::Shape("an index must have `manifests`")),
        PutManifestError::Invalid(ManifestError::ArtifactManifest("a/b".into())),
        PutManifestError::Invalid(ManifestError::History(2, "at line 1".into())),
        PutManifestError::Unverified(SignatureError::Absent),
        PutManifestError::Unverified(SignatureError::Rejected(0)),
    ];
    errors.extend(causes.into_iter().map(|cause| PutManifestError::Put {
        cause,
        repository: repository(),
    }));
    errors
}

fn reference() -> Reference {
    "v1".parse().unwrap()
}

fn delete_errors() -> Vec<DeleteManifestError> {
    let mut errors = vec![
        DeleteManifestError::RepositoryUnknown(repository()),
        DeleteManifestError::Unknown(reference()),
        DeleteManifestError::Delete(DeleteImageError::ReferencedByIndex(vec![digest()])),
    ];
    errors.extend(catalog_errors::<DeleteImageError>().into_iter().map(Into::into));
    errors
}

#[test]
fn every_error_has_a_status_a_code_and_a_message() {
    let mut table = String::new();
    let mut add = |what: &str, error: OciError| {
        let headers: Vec<_> = error
            .headers
            .iter()
            .map(|(name, value)| format!(" [{name}: {value}]"))
            .collect();
        let (status, code) = (error.status.as_u16(), error.code.as_str());
        writeln!(
            table,
            "{what:9} {status} {code:25} {}{}",
            error.message,
            headers.concat()
        )
        .unwrap();
    };
    for overload in [Overload::Requests, Overload::Pushes] {
        add("overload", overload.into());
    }
    add("gate", GateError("down".into()).into());
    for error in [IssueError::TooLong, GateError("down".into()).into()] {
        add("issue", error.into());
    }
    for error in input_errors() {
        add("input", error.into());
    }
    for error in [
        ReadError::TooLarge(9),
        ReadError::Stalled(io::Error::other("the body stalled: 60 seconds brought 0 bytes")),
        ReadError::Broken(failure()),
    ] {
        add("body", error.into());
    }
    for error in blob_errors() {
        add("blob", error.into());
    }
    for error in upload_errors() {
        add("upload", error.into());
    }
    for error in put_errors() {
        add("put", error.into());
    }
    let get = [
        GetManifestError::RepositoryUnknown(repository()),
        GetManifestError::Unknown(reference()),
        GetManifestError::Cache(CacheError::Full),
    ];
    for error in get.into_iter().chain(catalog_errors()) {
        add("get", error.into());
    }
    let upstream = [
        UpstreamError::Unreachable("SECRET address".into()),
        UpstreamError::Timeout("SECRET"),
        UpstreamError::Denied,
        UpstreamError::NotFound,
        UpstreamError::TooManyRequests { retry_after: None },
        UpstreamError::TooManyRequests {
            retry_after: Some(std::time::Duration::from_secs(90)),
        },
        UpstreamError::Server { status: 500 },
        UpstreamError::Server { status: 418 },
        UpstreamError::Invalid("SECRET".into()),
        UpstreamError::Blocked("SECRET".into()),
    ];
    let cache = [
        CacheError::RepositoryUnknown(repository()),
        CacheError::BlobUnknown(digest()),
        CacheError::Path(PullPathError::Loop),
        CacheError::Path(PullPathError::TooLong),
        CacheError::Storage("SECRET".into()),
        CacheError::Full,
        CacheError::Busy,
        CacheError::Creation(CreationError::Refused("too many repositories".into())),
    ];
    for error in upstream
        .map(CacheError::Upstream)
        .into_iter()
        .chain(cache)
        .chain(catalog_errors())
    {
        add("cache", error.into());
    }
    let translate = [
        TranslateError::Overload(Overload::Pushes),
        TranslateError::Blobs(BlobError(failure())),
        TranslateError::BytesMissing(digest()),
        TranslateError::Sign(SignerError("no key could be made")),
    ];
    for error in translate.into_iter().chain(catalog_errors()) {
        add("translate", error.into());
    }
    for error in delete_errors() {
        add("delete", error.into());
    }
    let delete_blob = [
        DeleteBlobError::RepositoryUnknown(repository()),
        DeleteBlobError::Unknown(digest()),
        DeleteBlobError::Needed(digest()),
    ];
    for error in delete_blob.into_iter().chain(catalog_errors()) {
        add("unlink", error.into());
    }
    let tags = [ListTagsError::RepositoryUnknown(repository())];
    for error in tags.into_iter().chain(catalog_errors()) {
        add("tags", error.into());
    }
    let catalog = [ListRepositoriesError::Gate(GateError("down".into()))];
    for error in catalog.into_iter().chain(catalog_errors()) {
        add("catalog", error.into());
    }
    assert!(!table.contains("SECRET"), "what only the log may see:\n{table}");
    assert!(table.contains(&MAX_TAGS_PER_IMAGE.to_string()));
    insta::assert_snapshot!("errors", table);
}

// Refusals carry challenges, which only the doorkeeper makes: the table of bad input shows them.
