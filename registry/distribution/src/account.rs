// SPDX-License-Identifier: Apache-2.0
//! Which account a request is for, and how the client wrote it: by host, by path, or not at all.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, Uri, header};
use hythe_model::{AccountId, ParseError, RepositoryName, RepositoryPath};

use crate::RegistryConfig;

/// Where a request arrived.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Scheme and host, without a slash at the end.
    pub(crate) url: String,
    // The account of the host, or the default account.
    account: AccountId,
}

/// A repository, and how the client wrote it, so that answers keep its style.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The repository.
    pub(crate) path: RepositoryPath,
    /// The name, with the account in front if the client wrote it.
    pub(crate) written: String,
}

impl Site {
    pub(crate) fn new(config: &RegistryConfig, headers: &HeaderMap, uri: &Uri, is_tls: bool) -> Self {
        let authority = uri
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()))
            .filter(|text| is_host(text))
            .unwrap_or("localhost")
            .to_ascii_lowercase();
        let account =
            account_of_host(config, without_port(&authority)).unwrap_or_else(|| config.default_account.clone());
        let url = match &config.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{}://{authority}", if is_tls { "https" } else { "http" }),
        };
        Self { url, account }
    }

    /// The account of a path that names one, or of this site.
    pub(crate) fn account(&self, written: &str) -> AccountId {
        written.parse().unwrap_or_else(|_| self.account.clone())
    }

    /// The repository that the client wrote.
    pub(crate) fn repository(&self, written: &str) -> Result<Named, ParseError> {
        let (account, name) = split_account(written);
        let account = account.unwrap_or_else(|| self.account.clone());
        let name: RepositoryName = name.parse()?;
        Ok(Named {
            path: RepositoryPath { account, name },
            written: written.to_owned(),
        })
    }
}

impl Site {
    /// The account that a written name is about, and the name without it.
    pub(crate) fn account_and_name<'n>(&self, written: &'n str) -> (Cow<'_, AccountId>, &'n str) {
        match split_account(written) {
            (Some(account), name) => (Cow::Owned(account), name),
            (None, name) => (Cow::Borrowed(&self.account), name),
        }
    }
}

impl Named {
    /// Another repository, written in the style of this one.
    pub(crate) fn written_like(&self, other: &RepositoryPath) -> String {
        match split_account(&self.written).0 {
            Some(_) => other.to_string(),
            None => other.name.to_string(),
        }
    }

    /// The path below this repository, in the client's style.
    pub(crate) fn location(&self, rest: impl fmt::Display) -> String {
        format!("/v2/{}/{rest}", self.written)
    }
}

/// Parts the account from a name: a first segment of twelve digits is always an account.
pub(crate) fn split_account(written: &str) -> (Option<AccountId>, &str) {
    match written.split_once('/') {
        Some((first, rest)) => match first.parse() {
            Ok(account) => (Some(account), rest),
            Err(_) => (None, written),
        },
        None => (None, written),
    }
}

fn account_of_host(config: &RegistryConfig, host: &str) -> Option<AccountId> {
    if let Some((_, account)) = config
        .host_accounts
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(host))
    {
        return Some(account.clone());
    }
    let (account, domain) = host.split_once('.')?;
    let base = config.base_domain.as_deref()?;
    if domain.eq_ignore_ascii_case(base) {
        account.parse().ok()
    } else {
        None
    }
}

fn without_port(authority: &str) -> &str {
    if let Some(end) = authority.find(']') {
        return authority.get(..=end).unwrap_or(authority); // an IPv6 address in brackets
    }
    authority.split(':').next().unwrap_or(authority)
}

/// Whether the text is safe to repeat within a quoted header value.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 300
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use hythe_model::Region;

    use super::*;
    use crate::Limits;

    fn config(public_url: Option<&str>) -> RegistryConfig {
        RegistryConfig {
            default_account: AccountId::default(),
            region: Region::default(),
            host_accounts: vec![("images.example.org".into(), "222222222222".parse().unwrap())],
            base_domain: Some("registry.example.com".into()),
            limits: Limits::default(),
            service: "hythe".into(),
            public_url: public_url.map(Into::into),
        }
    }

    #[test]
    fn the_account_comes_from_path_then_host_then_default() {
        let cases = [
            ("localhost:5000", "team/web", "000000000000", "team/web"),
            ("localhost:5000", "111111111111/team/web", "111111111111", "team/web"),
            ("333333333333.registry.example.com", "web", "333333333333", "web"),
            ("333333333333.REGISTRY.example.com:443", "web", "333333333333", "web"),
            (
                "333333333333.registry.example.com",
                "111111111111/web",
                "111111111111",
                "web",
            ),
            ("other.registry.example.com", "web", "000000000000", "web"),
            ("Images.Example.org:5000", "web", "222222222222", "web"),
            ("[::1]:5000", "web", "000000000000", "web"),
            ("bad\"host", "web", "000000000000", "web"),
        ];
        for (host, written, account, name) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            let site = Site::new(&config(None), &headers, &Uri::from_static("/v2/"), false);
            let named = site.repository(written).unwrap();
            assert_eq!(named.path.to_string(), format!("{account}/{name}"), "{host} {written}");
            assert_eq!(named.location("tags/list"), format!("/v2/{written}/tags/list"));
        }
    }

    #[test]
    fn the_url_is_public_or_taken_from_the_request() {
        let uri = Uri::from_static("https://a.example:5000/v2/");
        let url = |public, is_tls| Site::new(&config(public), &HeaderMap::new(), &uri, is_tls).url;
        assert_eq!(url(None, true), "https://a.example:5000");
        assert_eq!(url(None, false), "http://a.example:5000");
        assert_eq!(url(Some("https://r.example/"), false), "https://r.example");
    }

    #[test]
    fn an_account_alone_is_no_repository() {
        let site = Site::new(&config(None), &HeaderMap::new(), &Uri::from_static("/v2/"), false);
        assert!(site.repository("111111111111/").is_err());
        assert_eq!(
            site.repository("111111111111").unwrap().path.to_string(),
            "000000000000/111111111111"
        );
    }
}
