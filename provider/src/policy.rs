// SPDX-License-Identifier: Apache-2.0
//! Policy documents in arguments: checked and compared by the server's own parser, and what a plan warns of.

use hythe_rules::{Policy, PolicyError, PolicyFinding, Principal};
use serde_json::{Map, Value, json};
use tfplugin::{Attr, Call, Diagnostic, Path};

use crate::connection::Connection;

/// The version of the grammar in which conditions and variables work.
pub(crate) const VERSION: &str = "2012-10-17";

/// What a policy of a resource is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A repository.
    Repository,
    /// A registry, or one statement for it.
    Registry,
    /// A role.
    Role,
    /// Users, groups and roles that it is attached to.
    Identity,
}

type Parser = fn(&str) -> Result<Policy, PolicyError>;

/// Whether `text` is a policy for a repository; the error names the place in it.
pub(crate) fn check_repository(text: &str) -> Result<(), PolicyError> {
    Policy::parse_resource(text).map(drop)
}

/// Whether both texts are policies for repositories that say the same.
pub(crate) fn same_repository(a: &str, b: &str) -> bool {
    same(Policy::parse_resource, a, b)
}

/// Whether `text` is a policy for a registry; the error names the place in it.
pub(crate) fn check_registry(text: &str) -> Result<(), PolicyError> {
    Policy::parse_registry(text).map(drop)
}

/// Whether both texts are policies for registries that say the same.
pub(crate) fn same_registry(a: &str, b: &str) -> bool {
    same(Policy::parse_registry, a, b)
}

/// Whether `text` is a policy for users, groups and roles; the error names the place in it.
pub(crate) fn check_identity(text: &str) -> Result<(), PolicyError> {
    Policy::parse_identity(text).map(drop)
}

/// Whether both texts are policies for users, groups and roles that say the same.
pub(crate) fn same_identity(a: &str, b: &str) -> bool {
    same(Policy::parse_identity, a, b)
}

/// Whether `text` is a trust policy; the error names the place in it.
pub(crate) fn check_trust(text: &str) -> Result<(), PolicyError> {
    Policy::parse_trust(text).map(drop)
}

/// Whether both texts are trust policies that say the same.
pub(crate) fn same_trust(a: &str, b: &str) -> bool {
    same(Policy::parse_trust, a, b)
}

fn same(parse: Parser, a: &str, b: &str) -> bool {
    matches!((parse(a), parse(b)), (Ok(a), Ok(b)) if a.is_equivalent(&b))
}

/// Whether `text` is one statement of a policy for a registry; the error names the place in it.
pub(crate) fn check_statement(text: &str) -> Result<(), PolicyError> {
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && !value.is_object()
    {
        return Err(PolicyError::Syntax("a statement is one JSON object".to_owned()));
    }
    Policy::parse_registry(&document_of(text))
        .map(drop)
        .map_err(|error| match error {
            PolicyError::Member { pointer, reason } => PolicyError::Member {
                pointer: pointer.strip_prefix("/Statement").map(str::to_owned).unwrap_or(pointer),
                reason,
            },
            error => error,
        })
}

/// Whether both texts are statements that say the same. Their names are that of the argument, whether they have it or not.
pub(crate) fn same_statement(a: &str, b: &str) -> bool {
    let nameless = |text: &str| {
        let mut statement = serde_json::from_str::<Map<String, Value>>(text).ok()?;
        statement.remove("Sid");
        Some(document_of(&Value::Object(statement).to_string()))
    };
    match (nameless(a), nameless(b)) {
        (Some(a), Some(b)) => same_registry(&a, &b),
        _ => false,
    }
}

/// A policy of this one statement.
pub(crate) fn document_of(statement: &str) -> String {
    format!(r#"{{"Version":"{VERSION}","Statement":{statement}}}"#)
}

/// The name that a statement gives itself.
pub(crate) fn sid_of(statement: &str) -> Option<String> {
    let statement: Value = serde_json::from_str(statement).ok()?;
    statement.get("Sid")?.as_str().map(str::to_owned)
}

/// Whether `text` can be the name of a statement (IAM, "Sid").
pub(crate) fn check_sid(text: &str) -> Result<(), &'static str> {
    if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err("It must have 1 to 128 letters and digits.")
    }
}

/// The statements of a policy for a registry, each in the one form that all have which say the same.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let Ok(policy) = Policy::parse_registry(text) else {
        return Vec::new();
    };
    let canonical = serde_json::from_str(policy.canonical()).unwrap_or_else(|_| json!({}));
    let statements = canonical.get("Statement").and_then(Value::as_array);
    statements.into_iter().flatten().map(Value::to_string).collect()
}

/// Warns of what a policy does that its author may not want, if it is new or says something else than `before`.
pub(crate) async fn warn(cx: &Call<Connection>, kind: Kind, path: &Path, before: Option<&str>, after: &Attr<String>) {
    let Some(text) = after.as_str() else { return };
    let parse: Parser = match kind {
        Kind::Repository => Policy::parse_resource,
        Kind::Registry => Policy::parse_registry,
        Kind::Role => Policy::parse_trust,
        Kind::Identity => Policy::parse_identity,
    };
    let Ok(policy) = parse(text) else { return };
    if before.is_some_and(|before| same(parse, before, text)) {
        return;
    }
    let caller: Option<Principal> = match cx.client_if_configured().filter(|_| kind != Kind::Identity) {
        Some(connection) => match cx.until_stopped(connection.caller(cx)).await {
            Ok(Ok(caller)) => caller.arn.parse().ok(),
            _ => None,
        },
        None => None,
    };
    for finding in policy.findings(caller.as_ref()) {
        let (summary, detail) = words(kind, &finding);
        cx.report(Diagnostic::warning(summary, detail).at(path.clone()));
    }
}

fn words(kind: Kind, finding: &PolicyFinding) -> (String, String) {
    let (what, whole) = match kind {
        Kind::Repository => ("the repository", "The repository"),
        Kind::Registry => ("repositories of the registry", "The registry"),
        Kind::Role => ("the role", "The role"),
        Kind::Identity => ("what it is attached to", "What it is attached to"),
    };
    match finding {
        PolicyFinding::Public(place) => (
            format!("{whole} becomes public"),
            format!(
                "The statement at `{place}` allows something to everybody: whoever reaches the server needs no credentials for \
                 it. If that is not meant, name the principals, or add a condition such as `aws:SourceIp`."
            ),
        ),
        PolicyFinding::EverybodyMayDelete(place) => (
            "Everybody may delete".to_owned(),
            format!(
                "The statement at `{place}` lets everybody, also without credentials, delete images or {what}. \
                 Deleted images can be restored for some days, and a deleted repository cannot be."
            ),
        ),
        PolicyFinding::LocksOutCaller(place) => (
            "The policy locks you out".to_owned(),
            format!(
                "The statement at `{place}` denies you to change this policy again, and so to repair or destroy it with \
                 Terraform. The server refuses it unless `force` is set."
            ),
        ),
        PolicyFinding::MayLockOutCaller(place) => (
            "The policy may lock you out".to_owned(),
            format!(
                "The statement at `{place}` denies you to change this policy again whenever its conditions hold, and so to repair \
                 or destroy it with Terraform. If they hold for the request that sets it, the server refuses it unless `force` is set."
            ),
        ),
        PolicyFinding::UnknownAction(unknown) => (
            "The policy names an action that there is not".to_owned(),
            format!("At `{}`: {unknown}.", unknown.pointer),
        ),
        PolicyFinding::TrustsWholeIssuer(place) => (
            "Everybody of an identity provider may take on the role".to_owned(),
            format!(
                "The statement at `{place}` trusts an identity provider, whatever its token says: with a provider such as \
                 GitHub's that is whoever has an account there. Add a condition on `<provider>:sub` or another claim."
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = r#"{"Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage"],"Resource":"*"}"#;

    #[test]
    fn a_statement_is_checked_as_part_of_a_policy() {
        check_statement(STATEMENT).unwrap();
        let cases = [
            ("[]", "one JSON object"),
            ("{", "JSON"),
            (
                r#"{"Effect":"Maybe","Principal":"*","Action":"ecr:BatchGetImage","Resource":"*"}"#,
                "`/Effect`",
            ),
            (
                r#"{"Effect":"Allow","Principal":"*","Action":"ecr:","Resource":"*"}"#,
                "`/Action",
            ),
        ];
        for (text, words) in cases {
            let error = check_statement(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_name_of_a_statement_is_no_difference() {
        let named = STATEMENT.replacen('{', r#"{"Sid":"A","#, 1);
        assert_eq!(sid_of(&named).as_deref(), Some("A"));
        assert_eq!(sid_of(STATEMENT), None);
        assert!(same_statement(STATEMENT, &named));
        assert!(same_statement(
            STATEMENT,
            &STATEMENT.replace(r#"["ecr:BatchGetImage"]"#, r#""ecr:BatchGetImage""#)
        ));
        assert!(!same_statement(STATEMENT, &STATEMENT.replace("Allow", "Deny")));
    }

    #[test]
    fn statements_are_told_apart_by_what_they_say() {
        let one = statements(&document_of(STATEMENT));
        let other = statements(&format!(r#"{{"Version":"{VERSION}","Statement":[{STATEMENT}]}}"#));
        assert_eq!(one.len(), 1);
        assert_eq!(one, other);
        assert!(statements("{}").is_empty());
    }
}
