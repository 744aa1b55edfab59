// SPDX-License-Identifier: Apache-2.0
//! The evaluator once more, written to be read: over the JSON as it stands, with every value as a text, without any of the
//! preparation that makes the real one fast. It takes only documents that the real one accepts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use serde_json::Value;

/// A request, as texts.
#[allow(clippy::struct_excessive_bools, reason = "facts, each for itself")]
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The ARNs of who asks and how much being named by each of them counts: 1 for the account, 2 for a role, 3 for itself.
    pub names: Vec<(String, u8)>,
    /// How it is named by `*` in what is allowed. In a denial, `*` names everybody.
    pub by_star: u8,
    /// The names that must all be excepted by `NotPrincipal` in a denial.
    pub all_names: Vec<String>,
    pub is_root: bool,
    pub is_user: bool,
    pub has_own_policies: bool,
    pub is_of_owner: bool,
    pub action: String,
    pub resource: String,
    /// The values of condition keys, by key in lower case.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Decided one by one.
    pub image_tags: Vec<String>,
}

/// All documents that have a say.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    pub identity: Vec<Value>,
    pub boundary: Option<Value>,
    pub session: Option<Value>,
    pub repository: Option<Value>,
    pub registry: Option<Value>,
    pub trust: Option<Value>,
}

pub fn decide(asked: &Asked, documents: &Documents) -> &'static str {
    if asked.image_tags.is_empty() {
        return decide_one(asked, documents);
    }
    let mut last = "";
    for tag in &asked.image_tags {
        let mut one = asked.clone();
        one.keys.insert("ecr:imagetag".to_owned(), vec![tag.clone()]);
        last = decide_one(&one, documents);
        if last != "yes" {
            return last;
        }
    }
    last
}

fn decide_one(asked: &Asked, documents: &Documents) -> &'static str {
    let is_trust = asked.action.starts_with("sts:AssumeRole");
    let is_ecr = asked.action.starts_with("ecr:") && asked.action != "ecr:GetAuthorizationToken";
    let is_created = asked.action != "ecr:CreateRepository" && asked.action != "ecr:DescribeRegistry";
    let of_resource: Vec<&Value> = [
        documents.repository.as_ref().filter(|_| is_ecr && is_created),
        documents.registry.as_ref().filter(|_| is_ecr),
        documents.trust.as_ref().filter(|_| is_trust),
    ]
    .into_iter()
    .flatten()
    .collect();
    let of_holder = documents
        .identity
        .iter()
        .chain(&documents.boundary)
        .chain(&documents.session);
    if of_holder.clone().any(|policy| says(policy, asked, "Deny", 0))
        || of_resource.iter().any(|policy| says(policy, asked, "Deny", 1))
    {
        return "deny";
    }
    let by_identity = asked.is_root || documents.identity.iter().any(|policy| says(policy, asked, "Allow", 0));
    let boundary = asked.is_root || documents.boundary.iter().all(|policy| says(policy, asked, "Allow", 0));
    let session = documents.session.iter().all(|policy| says(policy, asked, "Allow", 0));
    let by_resource = |least| of_resource.iter().any(|policy| says(policy, asked, "Allow", least));
    let no_resource = if is_trust { "no trust" } else { "no resource" };
    let holder = match () {
        () if !by_identity => "no identity",
        () if !boundary => "no boundary",
        () if !session => "no session",
        () => "yes",
    };

    if !asked.has_own_policies {
        return if by_resource(3) { "yes" } else { no_resource };
    }
    if !asked.is_of_owner {
        return match holder {
            "yes" if by_resource(1) => "yes",
            "yes" => no_resource,
            missing => missing,
        };
    }
    if holder == "yes" && (!is_trust || by_resource(1)) {
        return "yes";
    }
    if by_resource(3) && (session || !asked.is_user) {
        return "yes";
    }
    if by_resource(2) {
        return match (boundary, session) {
            (false, _) => "no boundary",
            (true, false) => "no session",
            (true, true) => "yes",
        };
    }
    if is_trust && !by_resource(1) {
        no_resource
    } else {
        holder
    }
}

fn says(policy: &Value, asked: &Asked, effect: &str, least: u8) -> bool {
    let has_variables = policy["Version"] == "2012-10-17";
    let statements = match &policy["Statement"] {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    statements.iter().any(|statement| {
        statement["Effect"] == effect
            && is_named(statement, asked, effect) >= least
            && is_action(statement, asked)
            && is_resource(statement, asked, effect, has_variables)
            && conditions_hold(statement, asked, effect, has_variables)
    })
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().flat_map(self::list).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

fn is_named(statement: &Value, asked: &Asked, effect: &str) -> u8 {
    let listed = |value: &Value| -> Vec<String> {
        let all = match value {
            Value::Object(kinds) => kinds.values().flat_map(list).collect(),
            other => list(other),
        };
        let spell = |text: String| match text.len() {
            12 if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("arn:aws:iam::{text}:root"),
            _ => text,
        };
        all.into_iter().map(spell).collect()
    };
    let is_denial = effect == "Deny";
    let strength = |listed: &[String]| {
        let star = if listed.contains(&"*".to_owned()) {
            if is_denial { 3 } else { asked.by_star }
        } else {
            0
        };
        let named = asked.names.iter().filter(|(name, _)| listed.contains(name));
        named.map(|(_, strength)| *strength).chain([star]).max().unwrap()
    };
    if let Some(value) = statement.get("NotPrincipal") {
        let listed = listed(value);
        let is_excepted = if is_denial {
            let has_star = listed.contains(&"*".to_owned());
            let has_all = !asked.all_names.is_empty() && asked.all_names.iter().all(|name| listed.contains(name));
            has_star || has_all
        } else {
            // Providers and services are let in by name only.
            asked.by_star == 0 || strength(&listed) > 0
        };
        return if is_excepted { 0 } else { 3 };
    }
    statement.get("Principal").map_or(3, |value| strength(&listed(value)))
}

fn is_action(statement: &Value, asked: &Asked) -> bool {
    let covers = |pattern: &String| {
        let pattern = pattern.to_ascii_lowercase();
        let tokens: Vec<Token> = tokens(&pattern, true, false, asked).unwrap();
        covers(&tokens, &asked.action.to_ascii_lowercase())
    };
    match statement.get("NotAction") {
        Some(all_but) => !list(all_but).iter().any(covers),
        None => list(&statement["Action"]).iter().any(covers),
    }
}

fn is_resource(statement: &Value, asked: &Asked, effect: &str, has_variables: bool) -> bool {
    let covers = |pattern: &String| arn_covers(pattern, &asked.resource, has_variables, asked);
    match (statement.get("Resource"), statement.get("NotResource")) {
        (None, None) => true,
        (Some(only), _) => list(only).iter().any(|pattern| covers(pattern) == Some(true)),
        (None, Some(all_but)) => {
            let when_missing = effect == "Allow";
            !list(all_but)
                .iter()
                .any(|pattern| covers(pattern).unwrap_or(when_missing))
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Char(char),
    /// Of a variable's value.
    Given(char),
    One,
    Many,
}

/// `None` if a variable has no value.
fn tokens(text: &str, has_wildcards: bool, has_variables: bool, asked: &Asked) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if has_variables && rest.starts_with("${") {
            let end = rest.find('}').unwrap();
            let inner = &rest[2..end];
            rest = &rest[end + 1..];
            if ["*", "?", "$"].contains(&inner) {
                tokens.extend(inner.chars().map(Token::Char));
                continue;
            }
            let (key, default) = match inner.split_once(',') {
                Some((key, default)) => (key, Some(default.trim().trim_matches('\'').to_owned())),
                None => (inner, None),
            };
            let value = match asked.keys.get(&key.trim().to_ascii_lowercase()).map(Vec::as_slice) {
                Some([one]) => Some(one.clone()),
                _ => None,
            };
            tokens.extend(value.or(default)?.chars().map(Token::Given));
            continue;
        }
        rest = &rest[first.len_utf8()..];
        tokens.push(match first {
            '*' if has_wildcards => Token::Many,
            '?' if has_wildcards => Token::One,
            other => Token::Char(other),
        });
    }
    Some(tokens)
}

fn covers(tokens: &[Token], text: &str) -> bool {
    match (tokens.split_first(), text.chars().next()) {
        (None, None) => true,
        (Some((Token::Many, rest)), None) => covers(rest, ""),
        (Some((Token::Many, rest)), Some(first)) => covers(rest, text) || covers(tokens, &text[first.len_utf8()..]),
        (None, Some(_)) | (Some(_), None) => false,
        (Some((token, rest)), Some(first)) => {
            let is_same = match token {
                Token::Char(wanted) | Token::Given(wanted) => *wanted == first,
                _ => true,
            };
            is_same && covers(rest, &text[first.len_utf8()..])
        }
    }
}

/// `None` if a variable has no value.
fn arn_covers(pattern: &str, arn: &str, has_variables: bool, asked: &Asked) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let tokens = tokens(pattern, true, has_variables, asked)?;
    let mut parts: Vec<Vec<Token>> = vec![Vec::new()];
    for token in &tokens {
        if *token == Token::Char(':') && parts.len() < 6 {
            parts.push(Vec::new());
        } else {
            parts.last_mut().unwrap().push(token.clone());
        }
    }
    if parts.len() < 6 {
        return Some(covers(&tokens, arn));
    }
    let of_arn: Vec<&str> = arn.splitn(6, ':').collect();
    let is_arn = of_arn.len() == 6 && of_arn[0] == "arn";
    Some(is_arn && parts.iter().zip(of_arn).all(|(part, text)| covers(part, text)))
}

fn conditions_hold(statement: &Value, asked: &Asked, effect: &str, has_variables: bool) -> bool {
    let Some(Value::Object(operators)) = statement.get("Condition") else {
        return true;
    };
    operators.iter().all(|(operator, keys)| {
        let keys = keys.as_object().unwrap();
        keys.iter()
            .all(|(key, values)| holds((operator, effect), key, &list(values), asked, has_variables))
    })
}

fn holds((operator, effect): (&str, &str), key: &str, values: &[String], asked: &Asked, has_variables: bool) -> bool {
    let key = key.to_ascii_lowercase();
    let found = asked.keys.get(&key).cloned().unwrap_or_default();
    let (prefix, name) = operator.split_once(':').unwrap_or(("", operator));
    let (name, if_exists) = match name.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (name, false),
    };
    if name == "Null" {
        return values.iter().any(|value| (value == "true") == found.is_empty());
    }
    let (name, is_negated) = match name {
        "StringNotEquals" => ("StringEquals", true),
        "StringNotEqualsIgnoreCase" => ("StringEqualsIgnoreCase", true),
        "StringNotLike" => ("StringLike", true),
        "ArnNotEquals" | "ArnNotLike" => ("ArnLike", true),
        "ArnEquals" => ("ArnLike", false),
        "NumericNotEquals" => ("NumericEquals", true),
        "DateNotEquals" => ("DateEquals", true),
        "NotIpAddress" => ("IpAddress", true),
        other => (other, false),
    };
    // What a variable without a value excepts is not known: in what is allowed, it is everything.
    let is_unknown = |value: &str| {
        let has_texts = name.starts_with("String") || name.starts_with("Arn");
        is_negated && effect == "Allow" && has_texts && tokens(value, true, has_variables, asked).is_none()
    };
    let matches = |found: &String| {
        values
            .iter()
            .any(|value| is_unknown(value) || compare(name, found, value, asked, has_variables))
    };
    let is_value = |found: &&String| !found.is_empty();
    match prefix {
        "" if found.is_empty() => is_negated || if_exists,
        "" if is_negated => !found.iter().any(matches),
        "" => found.iter().any(matches),
        "ForAllValues" => found.iter().filter(is_value).all(|found| matches(found) != is_negated),
        "ForAnyValue" if found.is_empty() => if_exists,
        "ForAnyValue" => found.iter().filter(is_value).any(|found| matches(found) != is_negated),
        other => panic!("{other}"),
    }
}

fn compare(name: &str, found: &str, value: &str, asked: &Asked, has_variables: bool) -> bool {
    let text = |has_wildcards| tokens(value, has_wildcards, has_variables, asked);
    let spelled = |tokens: Vec<Token>| -> String {
        let spell = |token| match token {
            Token::Char(one) | Token::Given(one) => one,
            other => panic!("{other:?}"),
        };
        tokens.into_iter().map(spell).collect()
    };
    let instant = |text: &str| -> Option<jiff::Timestamp> {
        match text.parse::<i64>() {
            Ok(seconds) => jiff::Timestamp::from_second(seconds).ok(),
            Err(_) => text.parse().ok(),
        }
    };
    match name {
        "StringEquals" => text(false).is_some_and(|tokens| spelled(tokens) == found),
        "StringEqualsIgnoreCase" => text(false).is_some_and(|tokens| spelled(tokens).eq_ignore_ascii_case(found)),
        "StringLike" => text(true).is_some_and(|tokens| covers(&tokens, found)),
        "ArnLike" => {
            let is_arn = found.starts_with("arn:") && found.matches(':').count() >= 5;
            is_arn && arn_covers(value, found, has_variables, asked) == Some(true)
        }
        "Bool" => found.eq_ignore_ascii_case(value),
        "BinaryEquals" => {
            let bytes = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
            bytes(found).is_some_and(|found| Some(found) == bytes(value))
        }
        "IpAddress" => match found.parse::<IpAddr>() {
            Ok(address) => in_network(address, value),
            Err(_) => false,
        },
        _ if name.starts_with("Numeric") => match (found.parse::<f64>(), value.parse::<f64>()) {
            (Ok(left), Ok(right)) => in_order(name.trim_start_matches("Numeric"), left.partial_cmp(&right)),
            _ => false,
        },
        _ => match (instant(found), instant(value)) {
            (Some(left), Some(right)) => in_order(name.trim_start_matches("Date"), Some(left.cmp(&right))),
            _ => false,
        },
    }
}

fn in_order(name: &str, order: Option<std::cmp::Ordering>) -> bool {
    let order = order.unwrap();
    match name {
        "Equals" => order.is_eq(),
        "LessThan" => order.is_lt(),
        "LessThanEquals" => order.is_le(),
        "GreaterThan" => order.is_gt(),
        "GreaterThanEquals" => order.is_ge(),
        other => panic!("{other}"),
    }
}

fn in_network(address: IpAddr, network: &str) -> bool {
    let bits = |address: IpAddr| -> String {
        match address {
            IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
            IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
        }
    };
    let (first, length) = network.split_once('/').unwrap_or((network, "128"));
    let (left, right) = (bits(address), bits(first.parse().unwrap()));
    let length = length.parse::<usize>().unwrap().min(left.len());
    left.len() == right.len() && left[..length] == right[..length]
}
