// SPDX-License-Identifier: Apache-2.0
//! `normalize_policy`.

use hythe_rules::lifecycle::LifecyclePolicy;
use hythe_rules::{Policy, PolicyError};
use serde_json::Value;
use tfplugin::{Function, FunctionError, Parameters, Result};

/// Writes a policy in the one form that all have which say the same.
///
/// It takes policies of repositories, registries, users, groups and roles, trust policies and lifecycle policies, and tells
/// by what they hold which kind they are. The order of statements, actions and principals makes no difference to the
/// result, nor do white space, lists of one, members with their default and the order of members.
#[derive(Debug, Parameters)]
pub struct NormalizePolicy {
    /// The policy as JSON.
    pub policy: String,
}

impl Function for NormalizePolicy {
    const NAME: &'static str = "normalize_policy";
    type Output = String;

    fn call(self) -> Result<String, FunctionError> {
        let fail = |message: String| FunctionError::argument("policy", message);
        let document: Value =
            serde_json::from_str(&self.policy).map_err(|error| fail(format!("It is not JSON: {error}.")))?;
        if document.get("rules").is_some() {
            return match LifecyclePolicy::parse(&self.policy) {
                Ok(policy) => Ok(policy.canonical().to_owned()),
                Err(error) => Err(fail(format!("`{}`: {error}", error.pointer()))),
            };
        }
        let policy = parser(&document)(&self.policy).map_err(|error| fail(error.to_string()))?;
        Ok(policy.canonical().to_owned())
    }
}

/// The grammar of a policy, by what its statements hold.
fn parser(document: &Value) -> fn(&str) -> Result<Policy, PolicyError> {
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => &[],
    };
    let has = |names: [&str; 2]| {
        let in_statement = |statement: &Value| names.iter().any(|name| statement.get(name).is_some());
        statements.iter().any(in_statement)
    };
    if !has(["Principal", "NotPrincipal"]) {
        return Policy::parse_identity;
    }
    if has(["Resource", "NotResource"]) {
        return Policy::parse_registry;
    }
    let is_about_sessions = |statement: &Value| {
        let actions = ["Action", "NotAction"].map(|name| statement.get(name).map(Value::to_string));
        actions.iter().flatten().any(|actions| actions.contains("\"sts:"))
    };
    if statements.iter().any(is_about_sessions) {
        Policy::parse_trust
    } else {
        Policy::parse_resource
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(policy: &str) -> Result<String, String> {
        let call = NormalizePolicy {
            policy: policy.to_owned(),
        };
        call.call().map_err(|error| error.to_string())
    }

    #[test]
    fn what_says_the_same_becomes_the_same() {
        let cases = [
            (
                "a policy of a repository",
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage","ecr:ListImages"]}}"#,
                r#"{"Statement":[{"Action":["ecr:ListImages","ecr:BatchGetImage"],"Principal":"*","Effect":"Allow"}],"Version":"2012-10-17"}"#,
            ),
            (
                "a policy of a registry",
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"ecr:DeleteRepository","Resource":"*"}}"#,
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":["ecr:DeleteRepository"],"Resource":["*"]}]}"#,
            ),
            (
                "a policy of a user",
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*"}}"#,
                r#"{"Version":"2012-10-17", "Statement":[{"Resource":["*"],"Effect":"Allow","Action":["ecr:*"]}]}"#,
            ),
            (
                "a trust policy",
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}}"#,
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::000000000000:root"]},"Action":["sts:AssumeRole"]}]}"#,
            ),
            (
                "a lifecycle policy",
                r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}}]}"#,
                r#"{"rules":[{"action":{"type":"expire"},"selection":{"storageClass":"standard","countNumber":5,"countType":"imageCountMoreThan","tagStatus":"any"},"rulePriority":1}]}"#,
            ),
        ];
        for (what, one, other) in cases {
            let text = normal(one).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(Ok(&text), normal(other).as_ref(), "{what}");
            assert_eq!(Ok(&text), normal(&text).as_ref(), "{what} again");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_place() {
        for (policy, words) in [
            ("{", "JSON"),
            ("{}", "Statement"),
            (r#"{"rules":[]}"#, "/rules"),
            (
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Maybe","Principal":"*","Action":"ecr:*"}}"#,
                "/Effect",
            ),
        ] {
            let error = normal(policy).unwrap_err();
            assert!(error.contains(words), "{policy}: {error}");
        }
    }
}
