// SPDX-License-Identifier: Apache-2.0
//! The token endpoint of the Docker token flow: credentials and wishes in, a token with a scope out.
//!
//! No refresh token is ever given: clients would keep it in place of the password, and it could not outlive it.

use std::collections::BTreeSet;

use axum::response::{IntoResponse, Response};
use http::header;
use hythe_access::{Action, Credentials, IssuedToken, ScopeEntry, Secret, TokenScope};
use hythe_model::{AccountId, RepositoryName};
use serde::Serialize;

use crate::account::split_account;
use crate::auth::Visitor;
use crate::body::read_all;
use crate::input::{Input, InputError, first, pairs};
use crate::oci_error::OciError;
use crate::response::Answer;

/// The most scopes of one token.
const MAX_SCOPES: usize = 100;
/// The longest form, in bytes.
const MAX_FORM_BYTES: u64 = 64 * 1024;

#[derive(Serialize)]
struct TokenAnswer<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: i64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Answers a GET: credentials come in `Authorization`, or not at all.
pub(crate) async fn get(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let scopes = scopes(&input.query)?;
    issue(visitor, &scopes, None).await
}

/// The credentials of a form, for the OAuth 2 variant of the flow. `None` if they come in `Authorization`.
pub(crate) async fn read_form(registry: &crate::Registry, input: &mut Input) -> Result<Option<Credentials>, OciError> {
    let length = input.content_length();
    let body = std::mem::take(&mut input.body);
    let form = read_all(registry, body, length, MAX_FORM_BYTES).await?;
    let form = String::from_utf8_lossy(&form).into_owned();
    let credentials = match first(&form, "grant_type").as_deref() {
        Some("password") => first(&form, "username")
            .zip(first(&form, "password"))
            .map(|(user, password)| Credentials::Basic {
                user,
                password: Secret::new(password),
            }),
        Some("refresh_token") => first(&form, "refresh_token").map(|token| Credentials::Bearer(Secret::new(token))),
        Some(_) | None => None,
    };
    input.query = form;
    if credentials.is_none() {
        Err(InputError::GrantType.into())
    } else {
        Ok(credentials)
    }
}

/// Answers a POST, whose form is in the place of the query now.
pub(crate) async fn post(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let scopes = scopes(&input.query)?;
    issue(visitor, &scopes, Some(scopes.join(" "))).await
}

#[tracing::instrument(name = "token.issue", level = "debug", skip_all)]
async fn issue(visitor: &Visitor, scopes: &[String], granted: Option<String>) -> Result<Response, OciError> {
    // A name without an account means that of the host. Behind a public URL this may be another host than the one that the
    // token is for, and only what the client wrote tells.
    let is_of_host = visitor.registry.config().public_url.is_none();
    let own = is_of_host.then(|| visitor.site.account(""));
    let scope = TokenScope(scopes.iter().filter_map(|text| entry(text, own.as_ref())).collect());
    let IssuedToken {
        token,
        issued_at,
        expires_at,
    } = visitor.registry.gate().issue(&visitor.caller, scope).await?;
    let answer = TokenAnswer {
        token: token.expose(),
        access_token: token.expose(),
        expires_in: expires_at.duration_since(issued_at).as_secs(),
        issued_at: issued_at.to_string(),
        scope: granted,
    };
    Ok(Answer::json("application/json", &answer)
        .with(header::CACHE_CONTROL, "no-store")
        .into_response())
}

/// The scopes that a client asks for: several parameters, or several scopes in one, parted by spaces.
fn scopes(parameters: &str) -> Result<Vec<String>, InputError> {
    let mut scopes = Vec::new();
    for (_, value) in pairs(parameters).filter(|(name, _)| name == "scope") {
        for scope in value.split(' ').filter(|scope| !scope.is_empty()) {
            if scopes.len() == MAX_SCOPES {
                return Err(InputError::TooManyScopes(MAX_SCOPES));
            }
            scopes.push(scope.to_owned());
        }
    }
    Ok(scopes)
}

/// What a scope stands for. One that means nothing here gives no right, and is no error: the token is then good for less.
/// `own`: the account of a name that says none, if that is known.
pub(crate) fn entry(scope: &str, own: Option<&AccountId>) -> Option<ScopeEntry> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, rights) = rest.rsplit_once(':')?;
    let mut account = own.cloned();
    let (repository, actions) = match kind.split('(').next() {
        Some("repository") => {
            // A name has no `*`, so that a client cannot ask for more than one repository at once.
            let (written, name) = split_account(name);
            account = written.or(account);
            let name: RepositoryName = name.parse().ok()?;
            (
                name.to_string(),
                rights.split(',').flat_map(actions).collect::<BTreeSet<_>>(),
            )
        }
        Some("registry") if name == "catalog" => ("*".to_owned(), BTreeSet::from([Action::DescribeRepositories])),
        Some(_) | None => return None,
    };
    let actions = actions.into_iter().map(|action| action.as_str().to_owned()).collect();
    Some(ScopeEntry {
        repositories: vec![repository],
        actions,
        account,
    })
}

fn actions(right: &str) -> Vec<Action> {
    let through = Action::PULL_THROUGH.iter().copied();
    let pull = || {
        Action::PULL
            .iter()
            .copied()
            .chain([Action::ListImages])
            .chain(through.clone())
    };
    match right {
        "pull" => pull().collect(),
        "push" => [Action::PUSH, Action::CREATE_ON_PUSH, &[Action::ReplicateImage]].concat(),
        "delete" => vec![Action::BatchDeleteImage],
        "*" => pull()
            .chain(actions("push"))
            .chain([Action::BatchDeleteImage])
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use hythe_access::Resource;
    use hythe_model::RepositoryPath;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scopes_become_actions() {
        let cases = [
            ("repository:team/web:pull", "team/web", Action::BatchGetImage, true),
            ("repository:team/web:pull", "team/web", Action::ListImages, true),
            ("repository:team/web:pull", "team/web", Action::PutImage, false),
            ("repository:team/web:pull", "team/web2", Action::BatchGetImage, false),
            ("repository:team/web:pull,push", "team/web", Action::PutImage, true),
            (
                "repository:team/web:pull,push",
                "team/web",
                Action::BatchDeleteImage,
                false,
            ),
            ("repository:team/web:delete", "team/web", Action::BatchDeleteImage, true),
            ("repository:team/web:*", "team/web", Action::BatchDeleteImage, true),
            ("repository:team/web:*", "team/web", Action::DeleteRepository, false),
            (
                "repository:000000000000/team/web:pull",
                "team/web",
                Action::BatchGetImage,
                true,
            ),
            (
                "repository(plugin):team/web:pull",
                "team/web",
                Action::BatchGetImage,
                true,
            ),
            ("repository:*:pull", "team/web", Action::BatchGetImage, false),
            ("repository:team/*:pull", "team/web", Action::BatchGetImage, false),
            ("repository:team/web:", "team/web", Action::BatchGetImage, false),
            ("registry:catalog:*", "team/web", Action::DescribeRepositories, true),
            ("registry:catalog:*", "team/web", Action::BatchGetImage, false),
            ("nonsense", "team/web", Action::BatchGetImage, false),
        ];
        for (scope, repository, action, want) in cases {
            let scope_of = TokenScope(entry(scope, Some(&AccountId::default())).into_iter().collect());
            let path = RepositoryPath {
                account: AccountId::default(),
                name: repository.parse().unwrap(),
            };
            assert_eq!(
                scope_of.allows(action, &Resource::Repository(path)),
                want,
                "{scope} {repository} {action}"
            );
        }
    }

    #[test]
    fn a_scope_is_good_in_its_own_account() {
        let account = |digit: &str| digit.repeat(12).parse::<AccountId>().unwrap();
        let cases = [
            ("repository:111111111111/team/web:pull", Some("2"), Some("1")),
            ("repository:team/web:pull", Some("2"), Some("2")),
            ("repository:team/web:pull", None, None),
            ("repository:111111111111/team/web:pull", None, Some("1")),
            ("registry:catalog:*", Some("2"), Some("2")),
        ];
        for (scope, own, expected) in cases {
            let found = entry(scope, own.map(account).as_ref()).unwrap().account;
            assert_eq!(found, expected.map(account), "{scope} {own:?}");
        }
    }

    proptest! {
        #[test]
        fn no_scope_panics_or_covers_many_repositories(scope in "(repository|registry)?[:(a-z*/,]{0,40}") {
            for repository in entry(&scope, None).iter().flat_map(|entry| &entry.repositories) {
                prop_assert!(repository == "*" && scope.starts_with("registry") || !repository.contains('*'));
            }
        }
    }
}
