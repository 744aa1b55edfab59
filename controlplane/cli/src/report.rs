// SPDX-License-Identifier: Apache-2.0
//! From an error to what the user reads and the exit code: the only place that does this.

use std::error::Error as _;
use std::io::ErrorKind;

use hythe_client::ClientError;
use hythe_client::oidc::OidcError;
use hythe_client::registry::TransferError;
use hythe_wire::code;

use crate::error::CliError;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const NOT_ALLOWED: u8 = 4;
const CONFLICT: u8 = 5;
const NO_CONNECTION: u8 = 6;
const INTERRUPTED: u8 = 130;

/// What the user reads about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// `None` for a reader that went away, of which nobody wants to read.
    pub(crate) message: Option<String>,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) exit_code: u8,
}

/// The report of `error`.
pub(crate) fn report(error: &CliError) -> Report {
    let (exit_code, hint): (u8, Option<&str>) = match error {
        CliError::Settings(settings) => (FAILED, settings.hint()),
        CliError::Client(client) => client_report(client),
        CliError::Oidc(oidc) => oidc_report(oidc),
        CliError::Transfer(transfer) => transfer_report(transfer),
        CliError::Registry(_) => (FAILED, Some("check the server's configuration of its public address")),
        CliError::Policy(_) => (
            FAILED,
            Some("the place is a JSON pointer; docs/policies.md has the grammar"),
        ),
        CliError::LifecyclePolicy { .. } => (FAILED, Some("docs/guides/lifecycle-policies.md has the grammar")),
        CliError::LifecycleRun { .. } => (FAILED, Some("`hythe lifecycle runs REPOSITORY` lists what was tried")),
        CliError::Usage { hint, .. } => (USAGE, Some(hint)),
        CliError::Unconfirmed(_) => (USAGE, Some("add `--yes`")),
        CliError::Tool { .. } => (
            FAILED,
            Some("`hythe login --print-password` prints a password for any other tool (user name `AWS`)"),
        ),
        CliError::DockerConfig { .. } => (FAILED, Some("repair the file, or move it away")),
        CliError::Tampered { .. } => (
            FAILED,
            Some(
                "compare with an earlier export or a backup: records are only ever added, and deleted from the start when they are old",
            ),
        ),
        CliError::Unsound(_) => (
            FAILED,
            Some("docs/guides/scrub.md says what each kind means and what mends it"),
        ),
        CliError::ScrubFailed(_) => (
            FAILED,
            Some("the log of the server has more; start another one when it is mended"),
        ),
        CliError::MirrorBehind(_) => (FAILED, Some("the next run tries again what could not be fetched")),
        CliError::RuleUnusable { .. } => (
            FAILED,
            Some(
                "docs/guides/pull-through-cache.md says what a rule needs; `hythe pull-through-cache update` changes its credential",
            ),
        ),
        CliError::Hinted { error, hint } => {
            return Report {
                hint: Some(hint.clone()),
                ..report(error)
            };
        }
        CliError::NoHome => (FAILED, Some("set HOME, or HYTHE_CONFIG_FILE and DOCKER_CONFIG")),
        CliError::Output(source) if source.kind() == ErrorKind::BrokenPipe => {
            return Report {
                message: None,
                causes: Vec::new(),
                hint: None,
                exit_code: FAILED,
            };
        }
        CliError::Output(_) | CliError::Declined | CliError::NotDeleted { .. } | CliError::File { .. } => {
            (FAILED, None)
        }
        CliError::Interrupted => (INTERRUPTED, None),
    };
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    Report {
        message: Some(error.to_string()),
        causes,
        hint: hint.map(str::to_owned),
        exit_code,
    }
}

fn client_report(error: &ClientError) -> (u8, Option<&str>) {
    match error {
        ClientError::Problem { status, problem, .. } => {
            let hint = match problem.code.as_str() {
                code::REPOSITORY_NOT_FOUND => Some("`hythe repository list` shows what is there"),
                code::LIFECYCLE_PREVIEW_IN_PROGRESS => Some("try again when it is complete"),
                code::REPOSITORY_NOT_EMPTY => Some("add `--force` to delete the images too"),
                code::PRECONDITION_FAILED => Some("it changed meanwhile; look at it and try again"),
                code::IMAGE_REFERENCED => Some("delete the index that holds the image first"),
                _ => error.hint(),
            };
            (status_code(status.as_u16()), hint)
        }
        ClientError::Connect { .. }
        | ClientError::Timeout { .. }
        | ClientError::Tls { .. }
        | ClientError::Broken { .. } => (NO_CONNECTION, error.hint()),
        ClientError::Decode { .. } | ClientError::Setup(_) => (FAILED, error.hint()),
    }
}

fn oidc_report(error: &OidcError) -> (u8, Option<&str>) {
    match error {
        OidcError::Provider { .. } => (
            NO_CONNECTION,
            Some("`--oidc-issuer` is the URL that stands before `/.well-known/openid-configuration`"),
        ),
        OidcError::Refused(_) | OidcError::TooLate => (NOT_ALLOWED, None),
        OidcError::Local(_) => (FAILED, Some("`--device` logs in with a browser on another machine")),
    }
}

fn transfer_report(error: &TransferError) -> (u8, Option<&str>) {
    match error {
        TransferError::Client(client) => client_report(client),
        TransferError::Refused { status, code, .. } => {
            let hint = match code.as_str() {
                "NAME_UNKNOWN" => Some("`hythe repository create NAME` makes the repository"),
                "TAG_INVALID" => Some("the tag is immutable there; push under another one"),
                _ => error.hint(),
            };
            (status_code(status.as_u16()), hint)
        }
        TransferError::Stalled(_) => (NO_CONNECTION, error.hint()),
        TransferError::Missing(_)
        | TransferError::File { .. }
        | TransferError::NotALayout { .. }
        | TransferError::Occupied(_)
        | TransferError::Ambiguous { .. }
        | TransferError::Damaged { .. }
        | TransferError::Manifest { .. }
        | TransferError::TooLarge(_)
        | TransferError::Schema1(_)
        | TransferError::NoPlatform { .. } => (FAILED, error.hint()),
    }
}

fn status_code(status: u16) -> u8 {
    match status {
        401 | 403 => NOT_ALLOWED,
        404 => NOT_FOUND,
        409 | 412 => CONFLICT,
        _ => FAILED, // a number has no last variant
    }
}

#[cfg(test)]
mod tests {
    use hythe_client::SettingsError;
    use hythe_client::wire::Problem;

    use super::*;

    fn problem(status: u16, code: &str) -> CliError {
        let problem = Problem {
            kind: "about:blank".into(),
            title: "T".into(),
            status,
            detail: "the detail".into(),
            code: code.into(),
            pointer: None,
            request_id: None,
        };
        let json = serde_json::to_value(status).unwrap();
        let status = u16::try_from(json.as_u64().unwrap()).unwrap().try_into().unwrap();
        CliError::Client(ClientError::Problem {
            status,
            problem: Box::new(problem),
            retry_after: None,
        })
    }

    #[test]
    fn errors_have_their_exit_codes() {
        let connect = ClientError::Connect {
            endpoint: "http://a".into(),
            cause: "refused".into(),
        };
        let cases = [
            (CliError::Settings(SettingsError::NoEndpoint), 1, "hythe serve"),
            (problem(400, "InvalidParameterException"), 1, ""),
            (
                CliError::Usage {
                    message: "m".into(),
                    hint: "h",
                },
                2,
                "h",
            ),
            (CliError::Unconfirmed("delete `web`".into()), 2, "--yes"),
            (problem(404, "RepositoryNotFoundException"), 3, "repository list"),
            (problem(401, "UnrecognizedClientException"), 4, "secret"),
            (problem(403, "AccessDeniedException"), 4, ""),
            (problem(409, "RepositoryNotEmptyException"), 5, "--force"),
            (problem(412, "PreconditionFailedException"), 5, "meanwhile"),
            (CliError::Client(connect), 6, "running"),
            (CliError::Interrupted, 130, ""),
            (
                CliError::RuleUnusable {
                    upstream: "a".into(),
                    reason: "refused".into(),
                },
                1,
                "pull-through-cache update",
            ),
            (problem(404, "X").hinted("look there"), 3, "look there"),
        ];
        for (error, exit_code, hint) in cases {
            let report = report(&error);
            assert_eq!(report.exit_code, exit_code, "{error}");
            assert_eq!(report.hint.is_some(), !hint.is_empty(), "{error}: {:?}", report.hint);
            assert!(report.hint.unwrap_or_default().contains(hint), "{error}");
        }
    }

    #[test]
    fn another_hint_leaves_message_and_causes() {
        let file = || crate::error::file("read", std::path::Path::new("a"))(ErrorKind::NotFound.into());
        let (plain, hinted) = (report(&file()), report(&file().hinted("h")));
        assert!(!plain.causes.is_empty());
        assert_eq!((plain.message, plain.causes), (hinted.message, hinted.causes));
    }

    #[test]
    fn a_reader_that_went_away_is_not_told_so() {
        let report = report(&CliError::Output(ErrorKind::BrokenPipe.into()));
        assert_eq!((report.message, report.exit_code), (None, 1));
    }
}
