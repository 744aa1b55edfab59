// SPDX-License-Identifier: Apache-2.0
//! `hythe policy explain`, `who-can` and `validate`: what policies come to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hythe_client::wire::{ListRepositoryAccess, PolicySimulation, PolicyStatement, SimulatePolicy, UnmetCondition};
use hythe_model::RepositoryName;
use hythe_rules::{Policy, PolicyFinding, PolicyGrammar};
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;
use crate::table::Table;

pub(crate) const EXPLAIN_EXAMPLES: &str = "Examples:
  hythe policy explain team-a/web --action ecr:PutImage --principal arn:aws:iam::000000000000:user/ada
  hythe policy explain team-a/web --context aws:SourceIp=192.0.2.7 --context ecr:ImageTag=v1
  hythe policy explain team-a/web --policy draft.json          # as if this were all that you have
  hythe policy explain team-a/web --principal arn:aws:iam::000000000000:role/ci --session-policy limit.json
  hythe policy explain arn:aws:iam::000000000000:role/ci --action sts:AssumeRole
  hythe policy explain arn:aws:iam::000000000000:role/ci --action sts:AssumeRoleWithWebIdentity \\
      --principal arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com \\
      --claim aud=hythe --claim sub=repo:octo/app:ref:refs/heads/main";

pub(crate) const WHO_CAN_EXAMPLES: &str = "Examples:
  hythe policy who-can team-a/web
  hythe policy who-can team-a/web --action ecr:BatchDeleteImage -o json | jq -r '.principals[].arn'";

pub(crate) const VALIDATE_EXAMPLES: &str = "Examples:
  hythe policy validate policy.json
  hythe policy validate --kind trust trust.json
  jq . policy.json | hythe policy validate -";

/// `hythe policy explain`
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// On what: a repository, the ARN of a repository or of a role, or `*` for the registry as a whole
    #[arg(value_name = "RESOURCE", default_value = "*")]
    resource: String,
    /// What for; several times for several
    #[arg(long = "action", value_name = "ACTION", default_values_t = ["ecr:BatchGetImage".to_owned()])]
    actions: Vec<String>,
    /// Who: an ARN, also of an identity provider, or `*` for somebody without credentials; yourself by default
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// A value of a condition key; several times for several
    #[arg(long = "context", value_name = "KEY=VALUE", value_parser = key_value)]
    context: Vec<(String, String)>,
    /// A policy in place of those that the principal has, from a file or `-`; several times for several
    #[arg(long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// The policy of the session, which limits it further, from a file or `-`
    #[arg(long, value_name = "FILE")]
    session_policy: Option<PathBuf>,
    /// A claim of the token, where the principal is an identity provider; several times for several
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = key_value)]
    claims: Vec<(String, String)>,
    /// A repository policy in place of the stored one, from a file or `-`
    #[arg(long, value_name = "FILE")]
    repository_policy: Option<PathBuf>,
}

/// `hythe policy who-can`
#[derive(Args, Debug)]
pub struct WhoCanArgs {
    /// The repository
    repository: RepositoryName,
    /// What for
    #[arg(long, value_name = "ACTION", default_value = "ecr:BatchGetImage")]
    action: String,
}

/// `hythe policy validate`
#[derive(Args, Debug)]
pub struct ValidateArgs {
    #[command(flatten)]
    document: DocumentArg,
    /// What the policy is for; found out by what stands in it by default
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<Kind>,
}

/// What a policy is for, as options are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// For users, groups, roles, sessions and boundaries
    Identity,
    /// For a repository
    Repository,
    /// For a registry
    Registry,
    /// For a role, about who may take it on
    Trust,
}

impl Kind {
    fn grammar(self) -> PolicyGrammar {
        match self {
            Self::Identity => PolicyGrammar::Identity,
            Self::Repository => PolicyGrammar::Repository,
            Self::Registry => PolicyGrammar::Registry,
            Self::Trust => PolicyGrammar::Trust,
        }
    }

    /// What a document seems to be for: those with principals are of resources, and of roles if they are about taking
    /// one on.
    fn of(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let statements = match value.get("Statement") {
            Some(Value::Array(list)) => list.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        let has_principals = |one: &Value| one.get("Principal").or(one.get("NotPrincipal")).is_some();
        let is_trust = |one: &Value| {
            one.get("Action")
                .is_some_and(|action| action.to_string().contains("\"sts:"))
        };
        if statements.iter().any(is_trust) && statements.iter().any(has_principals) {
            Self::Trust
        } else if statements.iter().any(has_principals) {
            Self::Repository
        } else {
            Self::Identity
        }
    }
}

pub(crate) async fn explain(args: ExplainArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let resource = if args.resource == "*" || args.resource.starts_with("arn:") {
        args.resource
    } else {
        let name: RepositoryName = args.resource.parse().map_err(|error| CliError::Usage {
            message: format!("{error}"),
            hint: "name a repository, give an ARN, or `*` for the registry as a whole",
        })?;
        client.repository(&name).await?.value.repository_arn
    };
    let read = |path: PathBuf| DocumentArg::at(path).read();
    let policies = args.policies.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let request = SimulatePolicy {
        principal_arn: args.principal,
        actions: args.actions,
        resource_arns: vec![resource],
        context: values(args.context),
        session_policy: args.session_policy.map(read).transpose()?,
        claims: values(args.claims),
        policy_documents: Some(policies).filter(|policies| !policies.is_empty()),
        resource_policy: args.repository_policy.map(read).transpose()?,
    };
    let answer = client.simulate_policy(&request).await?;
    context.writer.answer(&answer, || table(&answer))
}

fn values(pairs: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in pairs {
        values.entry(key).or_default().push(value);
    }
    values
}

/// A block for each decision: its reason names two ARNs, which no column of a terminal is wide enough for.
fn table(answer: &PolicySimulation) -> Table {
    Table::blocks(answer.evaluations.iter().map(|one| {
        let decided = one.statement.as_ref().map(statement).unwrap_or_default();
        vec![
            ("action", one.action.clone()),
            ("resource", one.resource_arn.clone()),
            ("decision", one.decision.as_str().to_owned()),
            ("reason", one.reason.clone()),
            ("missing", one.missing.clone().unwrap_or_default()),
            ("decided by", decided),
            ("matching", lines(one.matched_statements.iter().map(statement))),
            ("not met", lines(one.unmet_conditions.iter().map(unmet))),
        ]
    }))
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("\n")
}

/// A statement that would match but for a condition.
fn unmet(one: &UnmetCondition) -> String {
    format!("{} if {}", statement(&one.statement), one.condition)
}

fn statement(one: &PolicyStatement) -> String {
    let place = one.policy_name.as_deref().unwrap_or(&one.policy_type);
    let name = one.sid.clone().unwrap_or_else(|| one.index.to_string());
    format!("{} {place}/{name}", one.effect)
}

pub(crate) async fn who_can(args: WhoCanArgs, context: &Context) -> Result<(), CliError> {
    let query = ListRepositoryAccess {
        registry_id: None,
        action: Some(args.action),
    };
    let answer = context.client()?.repository_access(&args.repository, &query).await?;
    if answer.is_truncated {
        context
            .writer
            .note("there are more users and roles than were looked at");
    }
    context.writer.answer(&answer, || {
        let anyone = answer.anyone.then(|| {
            let provided = String::new();
            [
                "*".to_owned(),
                "everybody, also without logging in".to_owned(),
                provided,
            ]
        });
        let named = answer.principals.iter().map(|one| {
            [
                one.arn.clone(),
                one.via.clone(),
                one.provided.clone().unwrap_or_default(),
            ]
        });
        Table::list(["PRINCIPAL", "VIA", "PROVIDED"], anyone.into_iter().chain(named))
    })
}

/// What is said of a policy that is valid.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Validated {
    kind: Kind,
    statements: usize,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct Warning {
    pointer: String,
    text: Cow<'static, str>,
}

/// Needs no server.
pub(crate) fn validate(args: &ValidateArgs, context: &Context) -> Result<(), CliError> {
    let text = args.document.read()?;
    let kind = args.kind.unwrap_or_else(|| Kind::of(&text));
    let policy = Policy::parse(&text, kind.grammar()).map_err(CliError::Policy)?;
    let warnings = policy.findings(None).into_iter().map(warning).collect();
    let answer = Validated {
        kind,
        statements: policy.statements().len(),
        warnings,
    };
    for warning in &answer.warnings {
        context
            .writer
            .note(&format!("warning: `{}`: {}", warning.pointer, warning.text));
    }
    let kind = kind.to_possible_value();
    let kind = kind
        .as_ref()
        .map(clap::builder::PossibleValue::get_name)
        .unwrap_or_default();
    let count = answer.statements;
    let text = format!(
        "valid: a policy of kind `{kind}` with {count} statement{}",
        if count == 1 { "" } else { "s" }
    );
    context.writer.answer_text(&answer, &text)
}

fn warning(finding: PolicyFinding) -> Warning {
    let (pointer, text) = match finding {
        PolicyFinding::Public(pointer) => (pointer, "it allows something to everybody, also without logging in"),
        PolicyFinding::EverybodyMayDelete(pointer) => (pointer, "it lets everybody delete"),
        PolicyFinding::LocksOutCaller(pointer) => (pointer, "it denies you to change the policy again"),
        PolicyFinding::MayLockOutCaller(pointer) => (
            pointer,
            "it denies you to change the policy again when its conditions hold",
        ),
        PolicyFinding::TrustsWholeIssuer(pointer) => (
            pointer,
            "it lets in whoever has a token of the identity provider: add a condition on `sub` or another claim",
        ),
        PolicyFinding::UnknownAction(unknown) => {
            return Warning {
                text: unknown.to_string().into(),
                pointer: unknown.pointer,
            };
        }
    };
    Warning {
        pointer,
        text: text.into(),
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must be KEY=VALUE, such as aws:SourceIp=192.0.2.7".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hythe_client::wire::{PolicyDecision, PolicyEvaluation};

    use super::*;

    #[test]
    fn an_explanation_fits_into_a_terminal() {
        let named = |kind: &str, policy: Option<&str>, sid: Option<&str>| PolicyStatement {
            policy_type: kind.into(),
            policy_name: policy.map(Into::into),
            index: 2,
            sid: sid.map(Into::into),
            effect: "Allow".into(),
        };
        let answer = PolicySimulation {
            principal_arn: "arn:aws:iam::000000000000:user/ada".into(),
            evaluations: vec![PolicyEvaluation {
                action: "ecr:PutImage".into(),
                resource_arn: "arn:aws:ecr:local:000000000000:repository/a-team-with-a-long-name/and-its-web-server".into(),
                decision: PolicyDecision::ImplicitDeny,
                statement: None,
                matched_statements: Vec::new(),
                unmet_conditions: vec![UnmetCondition {
                    statement: named("identity", Some("builders-of-the-web-server"), Some("PushWhatIsInTheMaking")),
                    condition: "StringLike ecr:imagetag".into(),
                }],
                missing: Some("identity-based policy".into()),
                reason: "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: ecr:PutImage on resource: \
                         arn:aws:ecr:local:000000000000:repository/a-team-with-a-long-name/and-its-web-server because no \
                         identity-based policy allows the ecr:PutImage action"
                    .into(),
            }],
        };
        let text = table(&answer).render(Some(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_kind_of_a_policy_is_found_out() {
        let of = |statement: &str| Kind::of(&format!(r#"{{"Statement":[{statement}]}}"#));
        assert_eq!(of(r#"{"Action":"ecr:*"}"#), Kind::Identity);
        assert_eq!(of(r#"{"Action":"sts:AssumeRole"}"#), Kind::Identity);
        assert_eq!(of(r#"{"Action":"ecr:*"},{"Principal":"*"}"#), Kind::Repository);
        assert_eq!(of(r#"{"Action":["sts:AssumeRole"],"Principal":"*"}"#), Kind::Trust);
        assert_eq!(Kind::of("no JSON"), Kind::Identity);
        assert_eq!(Kind::of(r#"{"Statement":{"NotPrincipal":"*"}}"#), Kind::Repository);
    }
}
