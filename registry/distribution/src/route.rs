// SPDX-License-Identifier: Apache-2.0
//! The routes: which paths there are, what each method on them does, and the action it needs.
//!
//! Repository names contain slashes, so a path is read from its end.

use http::Method;
use hythe_access::Action;
use hythe_model::AccountId;
use percent_encoding::percent_decode_str;

/// One operation of the data plane, as a client sees it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `<name>`, `<digest>`, `<reference>` and `<id>` as in the OCI Distribution Specification 1.1.
    pub template: &'static str,
    /// The action that the caller needs; `None` if valid credentials are enough, or none at all (the token endpoint).
    /// A route that does the work of several actions needs each of them; this is the first.
    pub action: Option<Action>,
    pub(crate) shape: Shape,
    pub(crate) operation: Operation,
}

/// The form of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Base,
    Token,
    Catalog,
    Uploads,
    Upload,
    Blob,
    Manifest,
    Tags,
    Referrers,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Ping,
    TokenGet,
    TokenPost,
    CatalogList,
    BlobHead,
    BlobGet,
    BlobDelete,
    UploadBegin,
    UploadStatus,
    UploadAppend,
    UploadFinish,
    UploadCancel,
    ManifestHead,
    ManifestGet,
    ManifestPut,
    ManifestDelete,
    TagsList,
    ReferrersList,
}

/// A path taken apart. The texts are decoded, and not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) shape: Shape,
    /// The repository as the client wrote it, with its account if that is in the path; or only the account; or nothing.
    pub(crate) name: String,
    /// The digest, reference or upload id; empty where the shape has none.
    pub(crate) argument: String,
}

const fn route(
    method: Method,
    template: &'static str,
    shape: Shape,
    operation: Operation,
    action: Option<Action>,
) -> Route {
    Route {
        method,
        template,
        action,
        shape,
        operation,
    }
}

const UPLOAD: &str = "/v2/<name>/blobs/uploads/<id>";
const BLOB: &str = "/v2/<name>/blobs/<digest>";
const MANIFEST: &str = "/v2/<name>/manifests/<reference>";

static ROUTES: [Route; 19] = [
    route(Method::GET, "/v2/", Shape::Base, Operation::Ping, None),
    route(Method::HEAD, "/v2/", Shape::Base, Operation::Ping, None),
    route(Method::GET, "/token", Shape::Token, Operation::TokenGet, None),
    route(Method::POST, "/token", Shape::Token, Operation::TokenPost, None),
    route(
        Method::GET,
        "/v2/_catalog",
        Shape::Catalog,
        Operation::CatalogList,
        Some(Action::DescribeRepositories),
    ),
    route(
        Method::HEAD,
        BLOB,
        Shape::Blob,
        Operation::BlobHead,
        Some(Action::BatchCheckLayerAvailability),
    ),
    route(
        Method::GET,
        BLOB,
        Shape::Blob,
        Operation::BlobGet,
        Some(Action::GetDownloadUrlForLayer),
    ),
    route(
        Method::DELETE,
        BLOB,
        Shape::Blob,
        Operation::BlobDelete,
        Some(Action::BatchDeleteImage),
    ),
    route(
        Method::POST,
        "/v2/<name>/blobs/uploads/",
        Shape::Uploads,
        Operation::UploadBegin,
        Some(Action::InitiateLayerUpload),
    ),
    route(
        Method::GET,
        UPLOAD,
        Shape::Upload,
        Operation::UploadStatus,
        Some(Action::UploadLayerPart),
    ),
    route(
        Method::PATCH,
        UPLOAD,
        Shape::Upload,
        Operation::UploadAppend,
        Some(Action::UploadLayerPart),
    ),
    route(
        Method::PUT,
        UPLOAD,
        Shape::Upload,
        Operation::UploadFinish,
        Some(Action::CompleteLayerUpload),
    ),
    route(
        Method::DELETE,
        UPLOAD,
        Shape::Upload,
        Operation::UploadCancel,
        Some(Action::UploadLayerPart),
    ),
    route(
        Method::HEAD,
        MANIFEST,
        Shape::Manifest,
        Operation::ManifestHead,
        Some(Action::BatchGetImage),
    ),
    route(
        Method::GET,
        MANIFEST,
        Shape::Manifest,
        Operation::ManifestGet,
        Some(Action::BatchGetImage),
    ),
    route(
        Method::PUT,
        MANIFEST,
        Shape::Manifest,
        Operation::ManifestPut,
        Some(Action::PutImage),
    ),
    route(
        Method::DELETE,
        MANIFEST,
        Shape::Manifest,
        Operation::ManifestDelete,
        Some(Action::BatchDeleteImage),
    ),
    route(
        Method::GET,
        "/v2/<name>/tags/list",
        Shape::Tags,
        Operation::TagsList,
        Some(Action::ListImages),
    ),
    route(
        Method::GET,
        "/v2/<name>/referrers/<digest>",
        Shape::Referrers,
        Operation::ReferrersList,
        Some(Action::BatchGetImage),
    ),
];

impl Route {
    /// Its place among [`routes`].
    pub(crate) fn index(&'static self) -> usize {
        ROUTES
            .iter()
            .position(|route| std::ptr::eq(route, self))
            .unwrap_or(ROUTES.len())
    }
}

/// Every route of the data plane.
#[must_use]
pub fn routes() -> &'static [Route] {
    &ROUTES
}

/// The route of a method on a shape of path.
pub(crate) fn find(shape: Shape, method: &Method) -> Option<&'static Route> {
    ROUTES
        .iter()
        .find(|route| route.shape == shape && route.method == method)
}

/// The methods that a shape of path has, for `Allow`.
pub(crate) fn allowed(shape: Shape) -> String {
    let methods: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.shape == shape)
        .map(|route| route.method.as_str())
        .collect();
    methods.join(", ")
}

/// Takes a path apart; `None` if it has none of the shapes.
pub(crate) fn parse(path: &str) -> Option<Path> {
    let found = |shape, name: &[&str], argument: &str| {
        Some(Path {
            shape,
            name: name.join("/"),
            argument: argument.to_owned(),
        })
    };
    if path == "/token" {
        return found(Shape::Token, &[], "");
    }
    let rest = path.strip_prefix("/v2")?;
    if rest.is_empty() || rest == "/" {
        return found(Shape::Base, &[], "");
    }
    // An escaped slash stays within its segment here and is part of the name below, which is checked as a whole.
    let decoded: Vec<_> = rest
        .strip_prefix('/')?
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8().ok())
        .collect::<Option<_>>()?;
    let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    match segments.as_slice() {
        [account] | [account, ""] if AccountId::matches(account) => found(Shape::Base, &[account], ""),
        ["_catalog"] => found(Shape::Catalog, &[], ""),
        [account, "_catalog"] if AccountId::matches(account) => found(Shape::Catalog, &[account], ""),
        [name @ .., "tags", "list"] if !name.is_empty() => found(Shape::Tags, name, ""),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] if !name.is_empty() => {
            found(Shape::Uploads, name, "")
        }
        [name @ .., "blobs", "uploads", id] if !name.is_empty() => found(Shape::Upload, name, id),
        [name @ .., "blobs", digest] if !name.is_empty() => found(Shape::Blob, name, digest),
        [name @ .., "manifests", reference] if !name.is_empty() => found(Shape::Manifest, name, reference),
        [name @ .., "referrers", digest] if !name.is_empty() => found(Shape::Referrers, name, digest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let cases = [
            ("/v2", Some((Shape::Base, "", ""))),
            ("/v2/", Some((Shape::Base, "", ""))),
            ("/v2/123456789012/", Some((Shape::Base, "123456789012", ""))),
            ("/token", Some((Shape::Token, "", ""))),
            ("/v2/_catalog", Some((Shape::Catalog, "", ""))),
            ("/v2/123456789012/_catalog", Some((Shape::Catalog, "123456789012", ""))),
            ("/v2/web/_catalog", None),
            ("/v2/team-a/web/tags/list", Some((Shape::Tags, "team-a/web", ""))),
            ("/v2/web/blobs/uploads/", Some((Shape::Uploads, "web", ""))),
            ("/v2/web/blobs/uploads", Some((Shape::Uploads, "web", ""))),
            ("/v2/web/blobs/uploads/1-2", Some((Shape::Upload, "web", "1-2"))),
            ("/v2/web/blobs/sha256:00", Some((Shape::Blob, "web", "sha256:00"))),
            ("/v2/web/blobs/sha256%3A00", Some((Shape::Blob, "web", "sha256:00"))),
            (
                "/v2/team%2Fweb/manifests/latest",
                Some((Shape::Manifest, "team/web", "latest")),
            ),
            (
                "/v2/blobs/uploads/manifests/blobs",
                Some((Shape::Manifest, "blobs/uploads", "blobs")),
            ),
            ("/v2/tags/list/tags/list", Some((Shape::Tags, "tags/list", ""))),
            ("/v2/manifests/manifests/v1", Some((Shape::Manifest, "manifests", "v1"))),
            (
                "/v2/web/referrers/sha256:00",
                Some((Shape::Referrers, "web", "sha256:00")),
            ),
            ("/v2/manifests/latest", None),
            ("/v2/web/manifests", None),
            ("/v2/web/%ff/manifests/v1", None),
            ("/v1/web", None),
            ("/v2x", None),
            ("", None),
        ];
        for (path, want) in cases {
            let parsed = parse(path);
            let got = parsed
                .as_ref()
                .map(|path| (path.shape, path.name.as_str(), path.argument.as_str()));
            assert_eq!(got, want, "{path}");
        }
    }

    #[test]
    fn every_operation_has_one_route_per_method() {
        for route in routes() {
            let same = routes()
                .iter()
                .filter(|other| other.shape == route.shape && other.method == route.method);
            assert_eq!(same.count(), 1, "{} {}", route.method, route.template);
        }
        assert_eq!(allowed(Shape::Upload), "GET, PATCH, PUT, DELETE");
    }
}
