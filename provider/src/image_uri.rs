// SPDX-License-Identifier: Apache-2.0
//! The full name of an image, as `docker pull` takes it: `host[:port]/[account/]repository[:tag][@digest]`.

use std::str::FromStr;

use hythe_model::{AccountId, Digest, RepositoryName, Tag};

/// The longest name that is looked at, in bytes.
const MAX_URI_BYTES: usize = 1024;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageUri {
    /// `host` or `host:port`.
    pub registry: String,
    /// The account, if the path or the host names one.
    pub registry_id: Option<AccountId>,
    /// The repository, without the account.
    pub repository: RepositoryName,
    /// The tag, if one is given.
    pub tag: Option<Tag>,
    /// The digest, if one is given.
    pub digest: Option<Digest>,
}

/// Why a text is no [`ImageUri`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageUriError {
    #[error("the image URI is longer than {MAX_URI_BYTES} bytes")]
    TooLong,
    #[error("`{0}` is a URL; an image URI has no `https://` in front")]
    Url(String),
    #[error("`{0}` does not start with the host of a registry, such as `registry.example.com/` or `127.0.0.1:5000/`")]
    NoRegistry(String),
    #[error("`{0}` names no repository")]
    NoRepository(String),
    #[error(transparent)]
    Part(#[from] hythe_model::ParseError),
}

impl FromStr for ImageUri {
    type Err = ImageUriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_URI_BYTES {
            return Err(ImageUriError::TooLong);
        }
        if text.contains("://") {
            return Err(ImageUriError::Url(text.into()));
        }
        let no_registry = || ImageUriError::NoRegistry(text.into());
        let (registry, rest) = text
            .split_once('/')
            .filter(|(host, _)| is_host(host))
            .ok_or_else(no_registry)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        // A repository has no colon, so the first one starts the tag.
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag.parse()?)),
            None => (rest, None),
        };
        let (of_path, name) = match path.split_once('/') {
            Some((account, name)) if AccountId::matches(account) => (account.parse().ok(), name),
            _ => (None, path),
        };
        if name.is_empty() || (AccountId::matches(name) && of_path.is_none()) {
            return Err(ImageUriError::NoRepository(text.into()));
        }
        // `<account>.registry.example.com`, and ECR's `<account>.dkr.ecr.<region>.amazonaws.com`.
        let of_host = || registry.split_once('.').and_then(|(account, _)| account.parse().ok());
        let registry_id = of_path.or_else(of_host);
        Ok(Self {
            registry: registry.into(),
            registry_id,
            repository: name.parse()?,
            tag,
            digest,
        })
    }
}

/// Whether the first part of a name is a host rather than the start of a repository, by the rule that Docker follows: it has
/// a dot or a port, or is `localhost`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_name = |host: &str| {
        !host.is_empty()
            && host
                .split('.')
                .all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    let is_address = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let has_mark = host == "localhost" || host.contains('.') || host.starts_with('[') || port.is_some();
    has_mark && (is_name(host) || is_address(host)) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// `registry registry_id repository tag digest?`, with `-` for what is absent.
    fn shown(uri: &ImageUri) -> String {
        let or = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let (account, tag) = (
            uri.registry_id.as_ref().map(ToString::to_string),
            uri.tag.as_ref().map(ToString::to_string),
        );
        let digest = if uri.digest.is_some() { "digest" } else { "-" };
        format!(
            "{} {} {} {} {digest}",
            uri.registry,
            or(account),
            uri.repository,
            or(tag)
        )
    }

    #[test]
    fn image_uris_are_taken_apart() {
        let with_digest = format!("127.0.0.1:5000/team/web@{DIGEST}");
        let with_both = format!("127.0.0.1:5000/team/web:v1@{DIGEST}");
        let bad_digest = "127.0.0.1:5000/team/web@sha256:00";
        let long = format!("localhost/{}", "a".repeat(MAX_URI_BYTES));
        let cases = [
            ("127.0.0.1:5000/team/web:1", Ok("127.0.0.1:5000 - team/web 1 -")),
            ("127.0.0.1:5000/web", Ok("127.0.0.1:5000 - web - -")),
            (with_digest.as_str(), Ok("127.0.0.1:5000 - team/web - digest")),
            (with_both.as_str(), Ok("127.0.0.1:5000 - team/web v1 digest")),
            ("localhost/web:latest", Ok("localhost - web latest -")),
            ("localhost:5000/web", Ok("localhost:5000 - web - -")),
            ("registry:5000/web", Ok("registry:5000 - web - -")),
            ("[::1]:5000/web:1", Ok("[::1]:5000 - web 1 -")),
            ("[::1]/web:1", Ok("[::1] - web 1 -")),
            (
                "127.0.0.1:5000/000000000000/team/web:1",
                Ok("127.0.0.1:5000 000000000000 team/web 1 -"),
            ),
            (
                "123456789012.registry.example.com/team/web:1",
                Ok("123456789012.registry.example.com 123456789012 team/web 1 -"),
            ),
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web",
                Ok("123456789012.dkr.ecr.eu-west-1.amazonaws.com 123456789012 web - -"),
            ),
            (
                "registry.example.com/000000000000/000000000001",
                Ok("registry.example.com 000000000000 000000000001 - -"),
            ),
            ("team/web:1", Err("does not start with the host")),
            ("web", Err("does not start with the host")),
            ("", Err("does not start with the host")),
            ("/web", Err("does not start with the host")),
            ("127.0.0.1:99999/web", Err("does not start with the host")),
            ("a..b/web", Err("does not start with the host")),
            ("[zz]/web", Err("does not start with the host")),
            ("https://127.0.0.1:5000/web", Err("is a URL")),
            ("127.0.0.1:5000/", Err("names no repository")),
            ("127.0.0.1:5000/:1", Err("names no repository")),
            ("127.0.0.1:5000/000000000000", Err("names no repository")),
            ("127.0.0.1:5000/000000000000/", Err("names no repository")),
            ("127.0.0.1:5000/Web", Err("not a valid repository name")),
            ("127.0.0.1:5000/web:", Err("not a valid tag")),
            ("127.0.0.1:5000/web:a:b", Err("not a valid tag")),
            (bad_digest, Err("not a valid digest")),
            (long.as_str(), Err("longer than")),
        ];
        for (text, want) in cases {
            match (text.parse::<ImageUri>(), want) {
                (Ok(uri), Ok(want)) => assert_eq!(shown(&uri), want, "{text}"),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{text}: {error}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<ImageUri>();
        }

        #[test]
        fn what_is_put_together_comes_apart_again(name in "[a-z0-9]{2,9}(/[a-z0-9]{1,9}){0,2}", tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,9}") {
            prop_assume!(!name.split('/').any(AccountId::matches));
            let uri: ImageUri = format!("localhost:5000/{name}:{tag}@{DIGEST}").parse().unwrap();
            prop_assert_eq!(uri.repository.to_string(), name);
            prop_assert_eq!(uri.tag.unwrap().to_string(), tag);
            prop_assert_eq!(uri.digest.unwrap().to_string(), DIGEST);
        }
    }
}
