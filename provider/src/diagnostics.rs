// SPDX-License-Identifier: Apache-2.0
//! How failures become diagnostics: the only mapping.
//!
//! The summary says what was tried, the detail what the server or the network said and what to do. The place is the
//! argument whose value the server refused.

use hythe_client::{ClientError, SettingsError};
use hythe_model::RepositoryName;
use hythe_wire::{Problem, code};
use tfplugin::{Diagnostic, Diagnostics, Path};

/// The failure of `what`, such as "create repository `web`".
pub(crate) fn failed(what: &str, error: &ClientError) -> Diagnostics {
    let (text, path) = match error {
        ClientError::Problem { problem, .. } => (of_problem(problem, error), place(problem)),
        ClientError::Connect { .. } => (
            with_hint(
                error,
                "Is the server running, and is `endpoint` its control plane's URL (port 8080 by default)?",
            ),
            Path::root(),
        ),
        // The client's hint may name an option of the command line.
        ClientError::Tls { hint, .. } if hint.is_empty() || hint.contains("--") => {
            let hint = "If the server uses a private certificate authority, name its PEM file in `ca_bundle` or HYTHE_CA_BUNDLE.";
            (with_hint(error, hint), Path::root())
        }
        ClientError::Tls { hint, .. } => (with_hint(error, &sentence(hint)), Path::root()),
        ClientError::Timeout { .. } => {
            let hint = "The request may have taken effect: plan again to see. `request_timeout` in the provider block sets the limit.";
            (with_hint(error, hint), Path::root())
        }
        ClientError::Broken { .. } => (
            with_hint(error, "The request may have taken effect: plan again to see."),
            Path::root(),
        ),
        ClientError::Decode { .. } => (
            with_hint(
                error,
                "Is `endpoint` the URL of a Hythe control plane (port 8080 by default)?",
            ),
            Path::root(),
        ),
        ClientError::Setup(_) => (sentence(&error.to_string()), Path::root()),
    };
    Diagnostic::error(format!("Cannot {what}"), text).at(path).into()
}

/// A create that found the name taken. `noun` is what it is, `id` what it would be imported by.
pub(crate) fn taken(noun: &str, id: &str, path: Path) -> Diagnostics {
    let detail = format!(
        "The registry has a {noun} `{id}` that this configuration does not manage. To manage it here, import it:\n\n\
         \u{20} terraform import <address of this resource> {id}\n\n\
         or choose another name."
    );
    Diagnostic::error(format!("{} `{id}` already exists", sentence_start(noun)), detail)
        .at(path)
        .into()
}

/// A create that found the registry's only such thing in use.
pub(crate) fn in_use(noun: &str, id: &str) -> Diagnostics {
    let detail = format!(
        "The registry `{id}` has a {noun} that this configuration does not manage. Creating another would replace it. To \
         manage it here, import it:\n\n\
         \u{20} terraform import <address of this resource> {id}"
    );
    Diagnostics::error(format!("{} already exists", sentence_start(noun)), detail)
}

/// An update that found nothing to update. `called` is the noun with the name.
pub(crate) fn vanished(called: &str) -> Diagnostics {
    let detail = "It was deleted after the plan was made. Plan again to create it anew.";
    Diagnostics::error(format!("{} no longer exists", sentence_start(called)), detail)
}

/// An update of a document that somebody else has changed since the plan was made.
pub(crate) fn changed_meanwhile(called: &str, path: Path) -> Diagnostics {
    let detail = "Somebody else has changed it after the plan was made, so it was left as it is. Plan again to see what it \
                  says now.";
    Diagnostic::error(format!("{} has changed meanwhile", sentence_start(called)), detail)
        .at(path)
        .into()
}

/// What stands between a destroy and its success. `count` is unknown when the server alone noticed.
pub(crate) fn holds_images(name: &RepositoryName, count: Option<u64>) -> String {
    let images = match count {
        Some(1) => "1 image".to_owned(),
        Some(count) => format!("{count} images"),
        None => "images".to_owned(),
    };
    format!(
        "Repository `{name}` holds {images}, so the server refuses to delete it. Destroying reads `force_delete` from the \
         state: to delete the images too, set `force_delete = true` and apply that first."
    )
}

/// A provider block without a usable server or credentials.
pub(crate) fn unusable(error: &SettingsError) -> Diagnostics {
    let (hint, path) = match error {
        SettingsError::NoEndpoint => (
            "Set `endpoint` in the provider block or HYTHE_ENDPOINT, name a `profile`, or run Terraform where `hythe serve` \
             has made its `hythe-data` folder (which counts only where no credentials are set otherwise).",
            Path::new("endpoint"),
        ),
        SettingsError::NoCredentials(_) => (
            "Set HYTHE_ACCESS_KEY_ID and HYTHE_SECRET_ACCESS_KEY, or HYTHE_TOKEN; or `username` and `password`, `token` or \
             `profile` in the provider block.",
            Path::root(),
        ),
        SettingsError::HalfAccessKey { .. } => ("An access key needs both its id and its secret.", Path::root()),
        SettingsError::HalfWebIdentity { .. } => (
            "A role needs tokens to take it on with: set both HYTHE_ROLE_ARN and HYTHE_WEB_IDENTITY_TOKEN_FILE.",
            Path::root(),
        ),
        SettingsError::NoSuchProfile { .. } => (
            "`hythe configure --profile NAME` makes a profile.",
            Path::new("profile"),
        ),
        SettingsError::Endpoint(_) => ("It looks like `https://hythe.example.com:8080`.", Path::new("endpoint")),
        SettingsError::File { .. } => ("", Path::root()),
    };
    let detail = format!("{} {hint}", sentence(&error.to_string()));
    Diagnostic::error("Cannot tell which Hythe server to use", detail.trim_end())
        .at(path)
        .into()
}

fn of_problem(problem: &Problem, error: &ClientError) -> String {
    let mut text = match hint(&problem.code) {
        Some(hint) => with_hint(error, hint),
        None => sentence(&error.to_string()),
    };
    // What an operator looks for in the server's log.
    let code = Some(problem.code.clone()).filter(|code| !code.is_empty());
    let id = problem.request_id.as_ref().map(|id| format!("request {id}"));
    let facts: Vec<String> = [code, id].into_iter().flatten().collect();
    if !facts.is_empty() {
        text.push_str("\n\n(");
        text.push_str(&facts.join(", "));
        text.push(')');
    }
    text
}

fn hint(code: &str) -> Option<&'static str> {
    match code {
        code::UNRECOGNIZED_CLIENT => Some("Check the access key id and its secret, or the token."),
        code::EXPIRED_TOKEN => Some("Get a new token, or use an access key."),
        code::PRECONDITION_FAILED => Some("Somebody else changed it meanwhile: plan again."),
        _ => None,
    }
}

/// The argument that a pointer into the request (RFC 6901) means.
fn place(problem: &Problem) -> Path {
    let pointer = problem.pointer.as_deref().unwrap_or_default();
    let mut steps = pointer.split('/').skip(1);
    match (steps.next().unwrap_or_default(), steps.next(), steps.next()) {
        ("repositoryName" | "userName" | "groupName" | "roleName" | "policyName" | "accountName", ..) => {
            Path::new("name")
        }
        ("accountId", ..) => Path::new("account_id"),
        ("policyText" | "policyDocument" | "policy", ..) => Path::new("policy"),
        ("assumeRolePolicyDocument", ..) => Path::new("assume_role_policy"),
        ("statement", ..) => Path::new("statement"),
        ("permissionsBoundary", ..) => Path::new("permissions_boundary"),
        ("maxSessionDuration", ..) => Path::new("max_session_duration"),
        ("description", ..) => Path::new("description"),
        ("expiresAt", ..) => Path::new("expires_at"),
        ("secretAccessKey", ..) => Path::new("secret_access_key_wo"),
        ("url", ..) => Path::new("url"),
        ("clientIdList", ..) => Path::new("client_ids"),
        ("signingAlgorithms", ..) => Path::new("signing_algorithms"),
        ("caBundle", ..) => Path::new("ca_bundle"),
        ("jwks", ..) => Path::new("jwks"),
        ("imageTagMutability", ..) => Path::new("image_tag_mutability"),
        // Elements of a set have no place of their own.
        ("imageTagMutabilityExclusionFilters", ..) => Path::new("image_tag_mutability_exclusion_filter"),
        ("imageScanningConfiguration", ..) => Path::new("scan_on_push"),
        ("allowSparseIndexes", ..) => Path::new("allow_sparse_indexes"),
        ("encryptionConfiguration", Some("kmsKey"), _) => Path::new("encryption").attribute("key"),
        ("encryptionConfiguration", Some("encryptionType"), _) => Path::new("encryption").attribute("type"),
        ("encryptionConfiguration", ..) => Path::new("encryption"),
        ("tags" | "resourceTags", ..) => Path::new("tags"),
        ("durationSeconds", ..) => Path::new("ttl"),
        ("roleSessionName", ..) => Path::new("session_name"),
        ("scope", Some(index), member) => match (index.parse(), member) {
            (Ok(index), Some(member)) => Path::new("scope").index(index).attribute(member),
            (Ok(index), None) => Path::new("scope").index(index),
            (Err(_), _) => Path::new("scope"),
        },
        ("scope", ..) => Path::new("scope"),
        _ => Path::root(),
    }
}

fn with_hint(error: &ClientError, hint: &str) -> String {
    format!("{} {hint}", sentence(&error.to_string()))
}

/// The text with a capital first.
pub(crate) fn sentence_start(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A message as a sentence: the crates below write theirs in lower case and without a full stop.
fn sentence(text: &str) -> String {
    let mut sentence = sentence_start(text.trim_end());
    if sentence.is_empty() {
        return sentence;
    }
    if !sentence.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn problem(status: u16, code: &str, detail: &str, pointer: Option<&str>) -> ClientError {
        let json = serde_json::json!({"status": status, "code": code, "detail": detail, "pointer": pointer, "requestId": "r1"});
        let problem = serde_json::from_value(json).unwrap();
        ClientError::Problem {
            status: status.try_into().unwrap(),
            problem: Box::new(problem),
            retry_after: None,
        }
    }

    fn shown(diagnostics: &Diagnostics) -> String {
        diagnostics.iter().fold(String::new(), |mut text, it| {
            writeln!(text, "{it}").unwrap();
            text
        })
    }

    #[test]
    fn every_failure_has_its_words() {
        let endpoint = || "http://127.0.0.1:1".to_owned();
        let (cause, hint) = ("connection refused".to_owned(), "");
        let mut errors: Vec<ClientError> = code::ALL
            .iter()
            .map(|code| problem(400, code, "the server's words", None))
            .collect();
        errors.extend([
            problem(502, "", "", None),
            ClientError::Connect {
                endpoint: endpoint(),
                cause: cause.clone(),
            },
            ClientError::Timeout { endpoint: endpoint() },
            ClientError::Tls {
                endpoint: endpoint(),
                cause: cause.clone(),
                hint,
            },
            ClientError::Broken {
                endpoint: endpoint(),
                cause,
            },
            ClientError::Decode {
                endpoint: endpoint(),
                what: "no JSON".into(),
            },
            ClientError::Setup("cannot set up".into()),
        ]);
        let text: String = errors
            .iter()
            .map(|error| shown(&failed("create repository `web`", error)))
            .collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_refused_value_is_shown_at_its_argument() {
        let cases = [
            ("/repositoryName", "name"),
            ("/imageTagMutability", "image_tag_mutability"),
            (
                "/imageTagMutabilityExclusionFilters/0/filter",
                "image_tag_mutability_exclusion_filter",
            ),
            ("/imageScanningConfiguration/scanOnPush", "scan_on_push"),
            ("/allowSparseIndexes", "allow_sparse_indexes"),
            ("/encryptionConfiguration", "encryption"),
            ("/encryptionConfiguration/kmsKey", "encryption.key"),
            ("/encryptionConfiguration/encryptionType", "encryption.type"),
            ("/tags/3/Key", "tags"),
            ("/durationSeconds", "ttl"),
            ("/scope/1/actions/0", "scope[1].actions"),
            ("/scope/1", "scope[1]"),
            ("/scope", "scope"),
            ("/elsewhere", ""),
            ("", ""),
        ];
        for (pointer, want) in cases {
            let diagnostics = failed("x", &problem(400, code::INVALID_PARAMETER, "no", Some(pointer)));
            assert_eq!(diagnostics.iter().next().unwrap().path.to_string(), want, "{pointer}");
        }
    }

    #[test]
    fn settings_that_do_not_suffice_are_explained() {
        let text = [
            SettingsError::NoEndpoint,
            SettingsError::NoCredentials("http://127.0.0.1:8080".into()),
            SettingsError::HalfAccessKey {
                of: "environment".into(),
                missing: "access key id",
            },
            SettingsError::NoSuchProfile {
                name: "x".into(),
                path: "/config.toml".into(),
            },
            SettingsError::Endpoint("ftp://x".parse::<hythe_client::Endpoint>().unwrap_err()),
            SettingsError::File {
                path: "/config.toml".into(),
                problem: "line 1: no".into(),
            },
        ]
        .iter()
        .map(|error| shown(&unusable(error)))
        .collect::<String>();
        insta::assert_snapshot!(text);
    }
}
