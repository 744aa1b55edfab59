// SPDX-License-Identifier: Apache-2.0
//! `hythe_policy_document`.

mod document;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tfplugin::{Attr, Call, DataSource, Diagnostic, Diagnostics, Object, Path, Result, Schema};

use crate::connection::Connection;
use crate::policy::VERSION;
use document::{Document, Origin};

/// Writes a policy as JSON, without asking the server: for repositories, registries, users, groups and roles, and for who
/// may take on a role.
///
/// Documents that say the same come out as the same text. The arguments are those of `aws_iam_policy_document`, so that a
/// configuration can be taken over by changing the name. A policy variable is written `&{aws:username}`, since `${…}` is
/// Terraform's own.
#[derive(Clone, Debug, Default, Schema)]
pub struct PolicyDocument {
    /// The version of the grammar. Conditions and variables need the newer one.
    #[tf(optional, default = VERSION, one_of = [VERSION, "2008-10-17"])]
    pub version: Attr<String>,
    /// A name for the document.
    #[tf(optional)]
    pub policy_id: Attr<String>,
    /// Documents whose statements come first, such as the `json` of others. A `Sid` may be in one of them only; a
    /// `statement` with the same replaces it.
    #[tf(optional)]
    pub source_policy_documents: Attr<Vec<Attr<String>>>,
    /// Documents whose statements come last, and replace those that have the same `Sid`.
    #[tf(optional)]
    pub override_policy_documents: Attr<Vec<Attr<String>>>,
    /// What is allowed or denied.
    #[tf(block)]
    pub statement: Attr<Vec<Statement>>,
    /// The document: JSON without white space, with members and values in a fixed order.
    #[tf(computed)]
    pub json: Attr<String>,
}

/// A statement.
#[derive(Clone, Debug, Default, Object)]
pub struct Statement {
    /// The name of the statement, unique in the document.
    #[tf(optional)]
    pub sid: Attr<String>,
    /// Whether the statement allows or denies. What is denied stays so, whatever is allowed elsewhere.
    #[tf(optional, default = "Allow", one_of = ["Allow", "Deny"])]
    pub effect: Attr<String>,
    /// The actions, such as `ecr:BatchGetImage`; `*` stands for any characters.
    #[tf(optional)]
    pub actions: Attr<BTreeSet<String>>,
    /// The actions that the statement is not about: it is about all others.
    #[tf(optional)]
    pub not_actions: Attr<BTreeSet<String>>,
    /// The ARNs of the resources; `*` and `?` stand for any characters. Not for the policy of a repository, and not for who
    /// may take on a role.
    #[tf(optional)]
    pub resources: Attr<BTreeSet<String>>,
    /// The resources that the statement is not about: it is about all others.
    #[tf(optional)]
    pub not_resources: Attr<BTreeSet<String>>,
    /// Whom the statement is about, in policies of repositories, registries and roles.
    #[tf(block)]
    pub principals: Attr<Vec<Principals>>,
    /// Whom the statement is not about: it is about everybody else.
    #[tf(block)]
    pub not_principals: Attr<Vec<Principals>>,
    /// What has to be true besides. All conditions have to be.
    #[tf(block)]
    pub condition: Attr<Vec<Condition>>,
}

/// Principals of one kind.
#[derive(Clone, Debug, Default, Object)]
pub struct Principals {
    /// The kind: `AWS` for accounts, users and roles, `Federated` for identity providers, `*` for everybody.
    #[tf(name = "type", required, one_of = ["AWS", "Federated", "Service", "*"])]
    pub kind: Attr<String>,
    /// The principals: ARNs, ids of accounts, or `*` for everybody.
    #[tf(required)]
    pub identifiers: Attr<BTreeSet<String>>,
}

/// A condition.
#[derive(Clone, Debug, Default, Object)]
pub struct Condition {
    /// The operator, such as `StringEquals`, `StringLike` or `IpAddress`.
    #[tf(required)]
    pub test: Attr<String>,
    /// The key, such as `aws:SourceIp`, `ecr:ImageTag` or a claim of a token.
    #[tf(required)]
    pub variable: Attr<String>,
    /// The values. One of them has to fit.
    #[tf(required)]
    pub values: Attr<BTreeSet<String>>,
}

impl DataSource for PolicyDocument {
    const NAME: &'static str = "policy_document";
    type Client = Connection;

    async fn read(_: &Call<Connection>, config: Self) -> Result<Self> {
        let document = config.document()?.ok_or_else(|| {
            Diagnostics::error(
                "Policy document is not known yet",
                "A part of it is known after apply only.",
            )
        })?;
        check(&document)?;
        Ok(Self {
            json: document.to_string().into(),
            ..config
        })
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if let Some(Some(document)) = diagnostics.absorb(config.document()) {
            diagnostics.absorb(check(&document));
        }
        diagnostics
    }
}

impl PolicyDocument {
    /// The document; `None` while a part of it is unknown.
    fn document(&self) -> Result<Option<Document>> {
        let (Some(sources), Some(overrides), Some(blocks)) = (
            texts(&self.source_policy_documents),
            texts(&self.override_policy_documents),
            settled(&self.statement),
        ) else {
            return Ok(None);
        };
        if self.version.is_unknown() || self.policy_id.is_unknown() {
            return Ok(None);
        }
        let version = self.version.as_str().unwrap_or(VERSION);
        let mut document = Document::new(version, self.policy_id.as_str());
        for (index, text) in sources.iter().enumerate() {
            let path = Path::new("source_policy_documents").index(index);
            document.add_source(text, &path)?;
        }
        for (index, block) in blocks.iter().enumerate() {
            let Some(statement) = block.to_json() else {
                return Ok(None);
            };
            document.replace(statement, Origin::Block(index));
        }
        for (index, text) in overrides.iter().enumerate() {
            document.add_override(text, &Path::new("override_policy_documents").index(index))?;
        }
        Ok(Some(document))
    }
}

/// Whether the document is a policy of some kind; the error is placed at the statement that is none.
fn check(document: &Document) -> Result<()> {
    let Err((error, origin)) = document.check() else {
        return Ok(());
    };
    let path = match origin {
        Some(Origin::Block(index)) => Path::new("statement").index(index),
        Some(Origin::Document(path)) => path,
        None => Path::root(),
    };
    Err(Diagnostic::error("Invalid policy document", error.to_string())
        .at(path)
        .into())
}

/// The texts, once all are known.
fn texts(documents: &Attr<Vec<Attr<String>>>) -> Option<Vec<String>> {
    // One that is null is left out, so that it may depend on a condition.
    settled(documents)?
        .iter()
        .filter(|text| !text.is_null())
        .map(|text| text.known().cloned())
        .collect()
}

/// The elements; none if there are none, `None` if they are unknown.
fn settled<T>(list: &Attr<Vec<T>>) -> Option<&[T]> {
    match list {
        Attr::Known(items) => Some(items),
        Attr::Null => Some(&[]),
        Attr::Unknown => None,
    }
}

impl Statement {
    /// The statement as JSON; `None` while a part of it is unknown.
    fn to_json(&self) -> Option<Map<String, Value>> {
        let mut members = Map::new();
        if self.sid.is_unknown() || self.effect.is_unknown() {
            return None;
        }
        if let Some(sid) = self.sid.as_str().filter(|sid| !sid.is_empty()) {
            members.insert("Sid".into(), sid.into());
        }
        members.insert("Effect".into(), self.effect.as_str().unwrap_or("Allow").into());
        for (name, blocks) in [("Principal", &self.principals), ("NotPrincipal", &self.not_principals)] {
            let blocks = settled(blocks)?;
            if !blocks.is_empty() {
                members.insert(name.into(), principals(blocks)?);
            }
        }
        for (name, values) in [
            ("Action", &self.actions),
            ("NotAction", &self.not_actions),
            ("Resource", &self.resources),
            ("NotResource", &self.not_resources),
        ] {
            if values.is_unknown() {
                return None;
            }
            if let Some(values) = values.known().filter(|values| !values.is_empty()) {
                members.insert(name.into(), listed(values));
            }
        }
        let conditions = settled(&self.condition)?;
        if !conditions.is_empty() {
            members.insert("Condition".into(), json_of_conditions(conditions)?);
        }
        Some(members)
    }
}

fn principals(blocks: &[Principals]) -> Option<Value> {
    let mut by_kind: Map<String, Value> = Map::new();
    for block in blocks {
        let (kind, identifiers) = (block.kind.known()?, block.identifiers.known()?);
        if kind == "*" && identifiers.iter().eq(["*"]) {
            return Some("*".into());
        }
        add(&mut by_kind, kind, identifiers);
    }
    Some(Value::Object(by_kind))
}

fn json_of_conditions(blocks: &[Condition]) -> Option<Value> {
    let mut by_test: Map<String, Value> = Map::new();
    for block in blocks {
        let (test, variable, values) = (block.test.known()?, block.variable.known()?, block.values.known()?);
        let keys = by_test.entry(test.clone()).or_insert_with(|| json!({}));
        if let Value::Object(keys) = keys {
            add(keys, variable, values);
        }
    }
    Some(Value::Object(by_test))
}

/// Adds values to those that `name` has.
fn add(members: &mut Map<String, Value>, name: &str, values: &BTreeSet<String>) {
    let more = values.iter().map(|value| Value::String(variables(value)));
    match members.get_mut(name) {
        Some(Value::Array(list)) => list.extend(more),
        _ => {
            members.insert(name.to_owned(), Value::Array(more.collect()));
        }
    }
}

fn listed(values: &BTreeSet<String>) -> Value {
    values.iter().map(|value| Value::String(variables(value))).collect()
}

/// `&{…}` is how a policy variable is written where `${…}` means something else.
fn variables(text: &str) -> String {
    text.replace("&{", "${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> Attr<BTreeSet<String>> {
        Attr::Known(values.iter().map(|it| (*it).to_owned()).collect())
    }

    fn pull(repositories: &[&str]) -> Statement {
        Statement {
            actions: set(&["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]),
            resources: set(repositories),
            ..Statement::default()
        }
    }

    fn json_of(config: &PolicyDocument) -> String {
        config.document().unwrap().unwrap().to_string()
    }

    fn of(statement: Vec<Statement>) -> PolicyDocument {
        PolicyDocument {
            statement: Attr::Known(statement),
            ..PolicyDocument::default()
        }
    }

    #[test]
    fn the_same_statement_gives_the_same_text() {
        let text = json_of(&of(vec![pull(&["*"])]));
        assert_eq!(
            text,
            concat!(
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","#,
                r#""Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"*"}]}"#
            )
        );
        assert_eq!(json_of(&of(vec![pull(&["*"])])), text);
        let again = PolicyDocument {
            source_policy_documents: Attr::Known(vec![Attr::Known(text.clone()), Attr::Null]),
            ..PolicyDocument::default()
        };
        assert_eq!(json_of(&again), text);
    }

    #[test]
    fn principals_and_conditions_are_gathered() {
        let principal = |kind: &str, identifiers: &[&str]| Principals {
            kind: kind.into(),
            identifiers: set(identifiers),
        };
        let condition = |test: &str, variable: &str, values: &[&str]| Condition {
            test: test.into(),
            variable: variable.into(),
            values: set(values),
        };
        let statement = Statement {
            sid: "Ci".into(),
            actions: set(&["ecr:BatchGetImage"]),
            principals: Attr::Known(vec![
                principal("AWS", &["arn:aws:iam::000000000000:user/b"]),
                principal("AWS", &["111111111111"]),
            ]),
            condition: Attr::Known(vec![
                condition("StringLike", "aws:PrincipalTag/team", &["&{aws:username}"]),
                condition("IpAddress", "aws:SourceIp", &["10.0.0.0/8"]),
            ]),
            ..Statement::default()
        };
        assert_eq!(
            json_of(&of(vec![statement])),
            concat!(
                r#"{"Version":"2012-10-17","Statement":[{"Sid":"Ci","Effect":"Allow","#,
                r#""Principal":{"AWS":["111111111111","arn:aws:iam::000000000000:user/b"]},"Action":"ecr:BatchGetImage","#,
                r#""Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"#,
                r#""StringLike":{"aws:PrincipalTag/team":"${aws:username}"}}}]}"#
            )
        );
        let everybody = Statement {
            actions: set(&["ecr:BatchGetImage"]),
            principals: Attr::Known(vec![principal("*", &["*"])]),
            ..Statement::default()
        };
        assert!(json_of(&of(vec![everybody])).contains(r#""Principal":"*""#));
    }

    #[test]
    fn documents_are_laid_over_each_other_by_sid() {
        let named = |sid: &str, repository: &str| {
            json_of(&of(vec![Statement {
                sid: sid.into(),
                ..pull(&[repository])
            }]))
        };
        let (a1, a2, b) = (named("A", "a1"), named("A", "a2"), named("B", "b"));
        let config = PolicyDocument {
            source_policy_documents: Attr::Known(vec![Attr::Known(a1.clone()), Attr::Known(b)]),
            override_policy_documents: Attr::Known(vec![Attr::Known(a2.clone())]),
            ..of(vec![pull(&["own"])])
        };
        let text = json_of(&config);
        let places: Vec<_> = ["\"a1\"", "\"a2\"", "\"b\"", "\"own\""].map(|it| text.find(it)).into();
        assert!(
            places[0].is_none() && places[1] < places[2] && places[2] < places[3],
            "{text}"
        );
        let twice = PolicyDocument {
            source_policy_documents: Attr::Known(vec![Attr::Known(a1), Attr::Known(a2)]),
            ..PolicyDocument::default()
        };
        let error = twice.document().unwrap_err();
        let error = error.iter().next().unwrap();
        assert!(error.detail.contains("`A`"), "{error}");
        assert_eq!(error.path, Path::new("source_policy_documents").index(1));
    }

    #[test]
    fn mistakes_are_placed_at_their_block() {
        let bad = Statement {
            actions: set(&["ecr:"]),
            ..pull(&["*"])
        };
        let found = PolicyDocument::validate(&of(vec![pull(&["*"]), bad]));
        let first = found.iter().next().unwrap();
        assert_eq!(first.path, Path::new("statement").index(1), "{first}");
        assert!(first.detail.contains("/Statement/1/Action"), "{first}");
        let broken = PolicyDocument {
            override_policy_documents: Attr::Known(vec!["{".into()]),
            ..of(vec![pull(&["*"])])
        };
        let found = PolicyDocument::validate(&broken);
        let first = found.iter().next().unwrap();
        assert_eq!(first.path, Path::new("override_policy_documents").index(0), "{first}");
        let unknown = of(vec![Statement {
            actions: Attr::Unknown,
            ..Statement::default()
        }]);
        assert!(PolicyDocument::validate(&unknown).is_empty());
        assert!(unknown.document().unwrap().is_none());
    }
}
