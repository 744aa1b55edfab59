// SPDX-License-Identifier: Apache-2.0
//! One statement of a policy, compiled.

use std::collections::BTreeMap;

use hythe_access::{Action, Principal};
use serde_json::{Map, Value, json};

use crate::actions::{ActionSet, is_strange};
use crate::arn::ArnPattern;
use crate::condition::Condition;
use crate::evaluate::Facts;
use crate::json::{Members, Node};
use crate::key::ConditionKey;
use crate::principal::{Naming, PrincipalPattern, Principals};
use crate::{PolicyError, PolicyGrammar};

/// What a matching statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}

/// One statement of a policy.
#[derive(Clone, Debug)]
pub struct Statement {
    pointer: Box<str>,
    sid: Option<Box<str>>,
    effect: Effect,
    // INVARIANT: `None` in policies of identities, `Some` in all others.
    principals: Option<Principals>,
    actions: ActionSet,
    // INVARIANT: `None` only in policies of resources, where the resource is implied.
    resources: Option<Resources>,
    conditions: Box<[Condition]>,
    /// Actions that there are not, with their places.
    strange: Box<[(Box<str>, Box<str>)]>,
}

#[derive(Clone, Debug)]
struct Resources {
    patterns: Box<[ArnPattern]>,
    is_all_but: bool,
}

impl Resources {
    /// `effect`: an exception whose variable has no value is one for nothing in a denial, and for everything in what is
    /// allowed, so that a missing value never opens anything. Where many resources are asked for at once, all of them have to be
    /// allowed, and one that is denied is enough.
    fn cover(&self, facts: &Facts<'_>, effect: Effect) -> bool {
        let mut patterns = self.patterns.iter();
        let asked = &facts.resource;
        match (self.is_all_but, effect) {
            (false, Effect::Allow) => patterns.any(|pattern| pattern.covers(asked, facts)),
            (false, Effect::Deny) => patterns.any(|pattern| pattern.meets(asked, facts)),
            (true, Effect::Allow) => {
                !patterns.any(|pattern| pattern.meets(asked, facts) || !pattern.is_resolved(facts))
            }
            (true, Effect::Deny) => !patterns.any(|pattern| pattern.covers(asked, facts)),
        }
    }
}

/// How far a statement agrees with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Match<'a> {
    /// It is about something else.
    Other,
    /// Everything but this condition.
    Unless(&'a Condition),
    Full,
}

const MEMBERS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

impl Statement {
    /// What a match does.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The name that the author gave it.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Its place in the document, as a JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Whether an action is one of its own.
    #[must_use]
    pub fn has_action(&self, action: Action) -> bool {
        self.actions.contains(action)
    }

    /// The principals that it names, also as exceptions.
    pub fn principals(&self) -> impl Iterator<Item = &PrincipalPattern> {
        self.principals.iter().flat_map(Principals::listed)
    }

    /// The same, where nothing names `principal` or its role.
    pub(crate) fn without(&self, principal: &Principal) -> Self {
        Self {
            principals: self.principals.as_ref().map(|principals| principals.without(principal)),
            ..self.clone()
        }
    }

    /// Its patterns of actions that cover none, with their places as JSON pointers.
    pub(crate) fn strange_actions(&self) -> &[(Box<str>, Box<str>)] {
        &self.strange
    }

    pub(crate) fn actions(&self) -> ActionSet {
        self.actions
    }

    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether it is about everybody.
    pub(crate) fn is_about_anybody(&self) -> bool {
        self.principals.as_ref().is_some_and(Principals::is_about_anybody)
    }

    /// Whether it applies to a request. `least`: how strongly it must name who asks, where it names anybody. Does not
    /// allocate for a statement about another action, principal or resource.
    pub(crate) fn applies(&self, facts: &Facts<'_>, least: Naming) -> bool {
        self.is_about(facts, least)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(facts, self.effect))
    }

    /// As [`Statement::applies`], and what is in the way.
    pub(crate) fn compare(&self, facts: &Facts<'_>, least: Naming) -> Match<'_> {
        if !self.is_about(facts, least) {
            return Match::Other;
        }
        let mut conditions = self.conditions.iter();
        let failing = conditions.find(|condition| !condition.holds(facts, self.effect));
        failing.map_or(Match::Full, Match::Unless)
    }

    /// How strongly it names who asks; as strongly as can be where its holder is meant.
    pub(crate) fn naming(&self, facts: &Facts<'_>) -> Naming {
        let request = facts.request;
        self.principals.as_ref().map_or(Naming::Itself, |principals| {
            principals.naming(&request.requester, request.owner, self.effect == Effect::Deny)
        })
    }

    fn is_about(&self, facts: &Facts<'_>, least: Naming) -> bool {
        self.actions.contains(facts.request.action)
            && self.naming(facts) >= least
            && self
                .resources
                .as_ref()
                .is_none_or(|resources| resources.cover(facts, self.effect))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let patterns = self.resources.iter().flat_map(|resources| resources.patterns.iter());
        let in_resources = patterns.flat_map(ArnPattern::variables);
        let in_conditions = self
            .conditions
            .iter()
            .flat_map(|condition| condition.variables().chain([condition.key()]));
        in_resources.chain(in_conditions)
    }

    /// Parses a statement, and spells it in the one form that all equal statements have.
    pub(crate) fn parse(
        node: &Node,
        at: &str,
        grammar: PolicyGrammar,
        has_variables: bool,
    ) -> Result<(Self, Value), PolicyError> {
        let members = node.known_members(at, MEMBERS)?;
        let mut canonical = Map::new();
        let sid = members.text(at, "Sid")?;
        check_sid(sid, at, grammar)?;
        if let Some(sid) = sid {
            canonical.insert("Sid".to_owned(), json!(sid));
        }
        let effect = match members.get("Effect").and_then(Node::as_text) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => {
                let place = format!("{at}/Effect");
                return Err(PolicyError::member(&place, "it must be `Allow` or `Deny`"));
            }
        };
        canonical.insert(
            "Effect".to_owned(),
            json!(if effect == Effect::Allow { "Allow" } else { "Deny" }),
        );
        let principals = parse_principals(members, at, grammar)?;
        if let Some(principals) = &principals {
            let name = if principals.is_all_but() {
                "NotPrincipal"
            } else {
                "Principal"
            };
            canonical.insert(name.to_owned(), principals.canonical());
        }

        let (actions, is_all_but) = one_of(members, at, "Action", "NotAction")?
            .ok_or_else(|| PolicyError::member(&format!("{at}/Action"), "it must have `Action` or `NotAction`"))?;
        for (at, text) in &actions {
            check_action(text, grammar).map_err(|reason| PolicyError::member(at, reason))?;
        }
        let name = if is_all_but { "NotAction" } else { "Action" };
        canonical.insert(name.to_owned(), set(actions.iter().map(|(_, text)| spelled(text))));

        let strange = actions.iter().filter(|(_, text)| is_strange(text));
        let strange = strange.map(|(at, text)| (at.as_str().into(), (*text).into())).collect();

        let resources = parse_resources(members, at, grammar, has_variables, &mut canonical)?;
        let conditions = match members.get("Condition") {
            None => Box::default(),
            Some(node) => {
                let place = format!("{at}/Condition");
                let conditions = Condition::parse_all(node, &place, has_variables)?;
                if !conditions.is_empty() {
                    canonical.insert("Condition".to_owned(), canonical_conditions(node, &place)?);
                }
                conditions
            }
        };
        let statement = Self {
            pointer: at.into(),
            sid: sid.map(Into::into),
            effect,
            principals,
            actions: ActionSet::of(actions.iter().map(|(_, text)| *text), is_all_but),
            resources,
            conditions,
            strange,
        };
        Ok((statement, Value::Object(canonical)))
    }
}

fn check_sid(sid: Option<&str>, at: &str, grammar: PolicyGrammar) -> Result<(), PolicyError> {
    let is_strict = grammar == PolicyGrammar::Identity;
    let is_good = |sid: &str| !is_strict || sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if sid.is_none_or(is_good) {
        Ok(())
    } else {
        Err(PolicyError::member(
            &format!("{at}/Sid"),
            "it must have letters and digits only",
        ))
    }
}

fn parse_principals(members: Members<'_>, at: &str, grammar: PolicyGrammar) -> Result<Option<Principals>, PolicyError> {
    let place = |name| format!("{at}/{name}");
    match (members.get("Principal"), members.get("NotPrincipal"), grammar) {
        (None, None, PolicyGrammar::Identity) => Ok(None),
        (Some(_), _, PolicyGrammar::Identity) => Err(PolicyError::member(
            &place("Principal"),
            "a policy of an identity must not name principals",
        )),
        (None, Some(_), PolicyGrammar::Identity) => Err(PolicyError::member(
            &place("NotPrincipal"),
            "a policy of an identity must not name principals",
        )),
        (Some(_), Some(_), _) => Err(PolicyError::member(
            &place("NotPrincipal"),
            "it must not stand beside `Principal`",
        )),
        (None, None, _) => Err(PolicyError::member(
            &place("Principal"),
            "it must say for whom the statement is",
        )),
        (Some(node), None, _) => Principals::parse(node, &place("Principal"), false).map(Some),
        (None, Some(node), _) => Principals::parse(node, &place("NotPrincipal"), true).map(Some),
    }
}

fn parse_resources(
    members: Members<'_>,
    at: &str,
    grammar: PolicyGrammar,
    has_variables: bool,
    canonical: &mut Map<String, Value>,
) -> Result<Option<Resources>, PolicyError> {
    let Some((texts, is_all_but)) = one_of(members, at, "Resource", "NotResource")? else {
        if grammar == PolicyGrammar::Identity {
            let place = format!("{at}/Resource");
            return Err(PolicyError::member(&place, "it must have `Resource` or `NotResource`"));
        }
        if grammar != PolicyGrammar::Trust {
            canonical.insert("Resource".to_owned(), json!(["*"]));
        }
        return Ok(None);
    };
    let name = if is_all_but { "NotResource" } else { "Resource" };
    if grammar == PolicyGrammar::Trust {
        return Err(PolicyError::member(
            &format!("{at}/{name}"),
            "a trust policy is about its own role: it has no resources",
        ));
    }
    canonical.insert(name.to_owned(), set(texts.iter().map(|(_, text)| (*text).to_owned())));
    let parse = |(at, text): &(String, &str)| {
        ArnPattern::parse(text, has_variables).map_err(|reason| PolicyError::member(at, reason))
    };
    let patterns = texts.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(Some(Resources { patterns, is_all_but }))
}

type Texts<'a> = Vec<(String, &'a str)>;

/// The texts of one of two members that exclude each other, and whether it is the second.
fn one_of<'a>(
    members: Members<'a>,
    at: &str,
    only: &str,
    all_but: &str,
) -> Result<Option<(Texts<'a>, bool)>, PolicyError> {
    let texts = |node: &'a Node, name: &str| node.texts(&format!("{at}/{name}"));
    match (members.get(only), members.get(all_but)) {
        (Some(_), Some(_)) => Err(PolicyError::member(
            &format!("{at}/{all_but}"),
            format!("it must not stand beside `{only}`"),
        )),
        (Some(node), None) => Ok(Some((texts(node, only)?, false))),
        (None, Some(node)) => Ok(Some((texts(node, all_but)?, true))),
        (None, None) => Ok(None),
    }
}

fn check_action(text: &str, grammar: PolicyGrammar) -> Result<(), &'static str> {
    let is_name = |part: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'*' || byte == b'?';
        !part.is_empty() && part.bytes().all(is_allowed)
    };
    let service = match text.split_once(':') {
        None if text == "*" => return Ok(()),
        Some((service, name)) if is_name(name) && is_name(service) && !service.contains(['*', '?']) => service,
        _ => return Err("an action must be `*` or `<service>:<action>`, such as `ecr:BatchGetImage`"),
    };
    match grammar {
        PolicyGrammar::Repository | PolicyGrammar::Registry if !service.eq_ignore_ascii_case("ecr") => {
            Err("a policy of a repository or a registry is about actions of `ecr` only")
        }
        PolicyGrammar::Repository if text.eq_ignore_ascii_case("ecr:GetAuthorizationToken") => {
            Err("only a policy of an identity can allow this action")
        }
        PolicyGrammar::Trust if !service.eq_ignore_ascii_case("sts") => {
            Err("a trust policy is about actions of `sts` only")
        }
        _ => Ok(()),
    }
}

/// An action as it is written, of whatever case: with the name that it has, or else in lower case.
fn spelled(action: &str) -> String {
    let known: Result<Action, _> = action.parse();
    known.map_or_else(|_| action.to_ascii_lowercase(), |known| known.as_str().to_owned())
}

/// Sorted, each once.
fn set(texts: impl Iterator<Item = String>) -> Value {
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts.dedup();
    json!(texts)
}

/// Keys in lower case, values as sorted texts. No key stands twice below an operator, in whatever letters.
fn canonical_conditions(node: &Node, at: &str) -> Result<Value, PolicyError> {
    let mut operators: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for (operator, keys) in node.members(at)? {
        let is_truth = operator.contains("Bool") || operator.contains("Null");
        for (key, values) in keys.members(at)? {
            let spell = |(_, text): (String, String)| if is_truth { text.to_ascii_lowercase() } else { text };
            let values = set(values.scalars(at)?.into_iter().map(spell));
            operators
                .entry(operator.clone())
                .or_default()
                .insert(key.to_ascii_lowercase(), values);
        }
    }
    Ok(json!(operators))
}
