// SPDX-License-Identifier: Apache-2.0
//! Condition keys: what a condition or a variable can ask about a request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use hythe_access::{Attributes, Principal};
use jiff::Timestamp;

use crate::context::Requester;
use crate::evaluate::Facts;

/// A condition key. Its case does not matter (IAM, "Condition").
#[derive(Clone, Debug)]
pub(crate) struct ConditionKey {
    kind: KeyKind,
    /// In lower case.
    name: Box<str>,
}

#[derive(Clone, Debug)]
enum KeyKind {
    CurrentTime,
    EpochTime,
    SourceIp,
    SecureTransport,
    UserAgent,
    Username,
    Userid,
    PrincipalArn,
    PrincipalAccount,
    PrincipalType,
    ResourceAccount,
    RequestedRegion,
    TagKeys,
    ImageTag,
    TokenIssueTime,
    RoleSessionName,
    /// The name of the tag.
    PrincipalTag(Box<str>),
    ResourceTag(Box<str>),
    RequestTag(Box<str>),
    /// What the session brought with it: claims of the token it was opened with.
    Session,
    AccountSetting,
    /// What is never so here, but has a value in every request (IAM, "AWS global condition context keys").
    False,
    /// A key that ECR or IAM knows and that no request here has: only a simulation gives it a value.
    Never,
}

/// Keys by their names in lower case.
const NAMED: &[(&str, KeyKind)] = &[
    ("aws:currenttime", KeyKind::CurrentTime),
    ("aws:epochtime", KeyKind::EpochTime),
    ("aws:sourceip", KeyKind::SourceIp),
    ("aws:securetransport", KeyKind::SecureTransport),
    ("aws:useragent", KeyKind::UserAgent),
    ("aws:username", KeyKind::Username),
    ("aws:userid", KeyKind::Userid),
    ("aws:principalarn", KeyKind::PrincipalArn),
    ("aws:principalaccount", KeyKind::PrincipalAccount),
    ("aws:principaltype", KeyKind::PrincipalType),
    ("aws:resourceaccount", KeyKind::ResourceAccount),
    ("aws:requestedregion", KeyKind::RequestedRegion),
    ("aws:tagkeys", KeyKind::TagKeys),
    ("ecr:imagetag", KeyKind::ImageTag),
    ("aws:federatedprovider", KeyKind::Session),
    ("sts:rolesessionname", KeyKind::RoleSessionName),
    ("aws:tokenissuetime", KeyKind::TokenIssueTime),
    ("ecr:accountsetting", KeyKind::AccountSetting),
    ("aws:sourcevpc", KeyKind::Never),
    ("aws:sourcevpce", KeyKind::Never),
    ("aws:vpcsourceip", KeyKind::Never),
    ("aws:sourcearn", KeyKind::Never),
    ("aws:sourceaccount", KeyKind::Never),
    ("aws:sourceorgid", KeyKind::Never),
    ("aws:sourceidentity", KeyKind::Never),
    ("aws:principalorgid", KeyKind::Never),
    ("aws:principalorgpaths", KeyKind::Never),
    ("aws:resourceorgid", KeyKind::Never),
    ("aws:principalisawsservice", KeyKind::False),
    ("aws:principalservicename", KeyKind::Never),
    ("aws:viaawsservice", KeyKind::False),
    ("aws:calledvia", KeyKind::Never),
    ("aws:multifactorauthpresent", KeyKind::Never),
    ("aws:multifactorauthage", KeyKind::Never),
    ("aws:referer", KeyKind::Never),
];

type OfTag = fn(Box<str>) -> KeyKind;
/// Keys that go on with the name of a tag.
const TAGGED: &[(&str, OfTag)] = &[
    ("aws:principaltag/", KeyKind::PrincipalTag),
    ("aws:resourcetag/", KeyKind::ResourceTag),
    ("ecr:resourcetag/", KeyKind::ResourceTag),
    ("aws:requesttag/", KeyKind::RequestTag),
];

/// The prefixes that are ours or IAM's, so that a misspelt key does not pass for a claim.
const RESERVED: &[&str] = &[
    "aws",
    "ecr",
    "sts",
    "iam",
    "kms",
    "hythe",
    "organizations",
    "cloudtrail",
];

/// One value of a key.
#[derive(Clone, Debug)]
pub(crate) enum Fact<'a> {
    Text(Cow<'a, str>),
    Ip(IpAddr),
    Time(Timestamp),
    Epoch(Timestamp),
    Bool(bool),
}

impl<'a> Fact<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// As conditions on texts and variables see it.
    pub(crate) fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Ip(address) => Cow::Owned(address.to_string()),
            Self::Time(time) => Cow::Owned(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            Self::Epoch(time) => Cow::Owned(time.as_second().to_string()),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        }
    }

    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            other => Cow::Owned(other.as_text().into_owned()),
        }
    }
}

/// All values of a key in one request.
#[derive(Clone, Debug)]
pub(crate) enum Values<'a> {
    Absent,
    One(Fact<'a>),
    List(&'a [String]),
    /// The names of the tags in a request: of those with values, and of those without.
    TagKeys(Option<&'a BTreeMap<String, String>>, &'a [String]),
}

impl Values<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::One(_) => false,
            Self::List(list) => list.is_empty(),
            Self::TagKeys(tags, more) => tags.is_none_or(BTreeMap::is_empty) && more.is_empty(),
        }
    }

    /// Whether `is` holds for any value.
    pub(crate) fn any(&self, mut is: impl FnMut(&Fact<'_>) -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::One(fact) => is(fact),
            Self::List(list) => list.iter().any(|text| is(&Fact::text(text))),
            Self::TagKeys(tags, more) => {
                let mut names = tags.iter().flat_map(|tags| tags.keys()).chain(*more);
                names.any(|name| is(&Fact::text(name)))
            }
        }
    }
}

impl ConditionKey {
    /// The key of this name; the error says why there is none.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let known = NAMED
            .iter()
            .find(|(known, _)| *known == lower)
            .map(|(_, kind)| kind.clone());
        let tagged = || {
            let (prefix, kind) = TAGGED.iter().find(|(prefix, _)| lower.starts_with(prefix))?;
            let tag = lower.strip_prefix(prefix).filter(|tag| !tag.is_empty())?;
            Some(kind(tag.into()))
        };
        let kind = known
            .or_else(tagged)
            .or_else(|| is_claim(&lower).then_some(KeyKind::Session))
            .ok_or_else(|| {
                format!(
                    "there is no condition key `{name}`; known are keys such as `aws:SourceIp`, `aws:ResourceTag/<key>`, \
                     `ecr:ImageTag`, and the claims of an identity provider as `<host and path>:<claim>`"
                )
            })?;
        Ok(Self {
            kind,
            name: lower.into(),
        })
    }

    /// In lower case.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a request can have several values of it, other than claims.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.kind, KeyKind::TagKeys)
    }

    /// The value that a variable stands for: the only one.
    pub(crate) fn single<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        match self.values(facts) {
            Values::One(fact) => Some(fact.into_text()),
            Values::List([one]) => Some(Cow::Borrowed(one)),
            Values::Absent | Values::List(_) | Values::TagKeys(..) => None,
        }
    }

    /// What the request says about it.
    pub(crate) fn values<'a>(&self, facts: &Facts<'a>) -> Values<'a> {
        let context = facts.request.context;
        if let Some(values) = context.given.and_then(|given| attribute(given, &self.name)) {
            return Values::List(values);
        }
        let request = context.request;
        match &self.kind {
            KeyKind::CurrentTime => one(context.now.map(Fact::Time)),
            KeyKind::EpochTime => one(context.now.map(Fact::Epoch)),
            KeyKind::SourceIp => one(context.source_ip.map(|address| Fact::Ip(address.to_canonical()))),
            KeyKind::SecureTransport => one(context.is_secure.map(Fact::Bool)),
            KeyKind::UserAgent => one(context.user_agent.map(Fact::text)),
            KeyKind::RequestedRegion => one(context.region.map(Fact::text)),
            KeyKind::ResourceAccount => Values::One(Fact::text(facts.request.owner.as_str())),
            KeyKind::Username => one(username(&facts.request.requester).map(Fact::text)),
            KeyKind::Userid => {
                let principal = facts.request.requester.principal();
                one(principal.and_then(Principal::user_id).map(Fact::Text))
            }
            KeyKind::PrincipalArn => one(principal_arn(&facts.request.requester).map(|arn| Fact::Text(arn.into()))),
            KeyKind::PrincipalAccount => {
                let account = facts.request.requester.principal().and_then(Principal::account);
                one(account.map(|account| Fact::text(account.as_str())))
            }
            KeyKind::PrincipalType => one(principal_type(&facts.request.requester).map(Fact::text)),
            KeyKind::TagKeys => Values::TagKeys(
                request.map(|request| &request.request_tags),
                request.map(|request| request.tag_keys.as_slice()).unwrap_or_default(),
            ),
            KeyKind::ImageTag => Values::List(facts.image_tags),
            KeyKind::TokenIssueTime => one(context.token_issued_at.map(Fact::Time)),
            KeyKind::RoleSessionName => {
                let named = request.and_then(|request| request.role_session_name.as_ref());
                match named {
                    Some(name) => Values::One(Fact::text(name.as_str())),
                    None => session(context.attributes, &self.name),
                }
            }
            KeyKind::RequestTag(tag) => tag_value(request.map(|request| &request.request_tags), tag),
            KeyKind::ResourceTag(tag) => tag_value(context.resource_tags, tag),
            KeyKind::PrincipalTag(tag) => match tag_value(context.principal_tags, tag) {
                Values::Absent => session(context.attributes, &self.name),
                value => value,
            },
            KeyKind::Session => session(context.attributes, &self.name),
            KeyKind::AccountSetting => {
                let named = request.and_then(|request| request.account_setting);
                one(named.map(Fact::text))
            }
            KeyKind::False => Values::One(Fact::Bool(false)),
            KeyKind::Never => Values::Absent,
        }
    }
}

/// `<host and path of the issuer>:<claim>`.
fn is_claim(name: &str) -> bool {
    let is_reserved = name.split(':').next().is_some_and(|prefix| RESERVED.contains(&prefix));
    name.rsplit_once(':').is_some_and(|(issuer, claim)| {
        let host = issuer.split(['/', ':']).next().unwrap_or_default();
        let has_host = host.contains('.') || host == "localhost" || issuer.starts_with('[');
        !is_reserved && has_host && !claim.is_empty() && !name.contains(['*', '$', '{', '}', ' '])
    })
}

fn one(fact: Option<Fact<'_>>) -> Values<'_> {
    fact.map_or(Values::Absent, Values::One)
}

fn session<'a>(attributes: Option<&'a Attributes>, name: &str) -> Values<'a> {
    let values = attributes.and_then(|attributes| attribute(attributes, name));
    values.map_or(Values::Absent, Values::List)
}

fn attribute<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a [String]> {
    let exact = attributes.get(name);
    let found = exact.or_else(|| {
        let mut entries = attributes.iter();
        let found = entries.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, values)| values)
    });
    found.map(Vec::as_slice)
}

fn tag_value<'a>(tags: Option<&'a BTreeMap<String, String>>, tag: &str) -> Values<'a> {
    let mut entries = tags.into_iter().flatten();
    let found = entries.find(|(key, _)| key.eq_ignore_ascii_case(tag));
    one(found.map(|(_, value)| Fact::text(value)))
}

/// Only users have one (IAM, `aws:username`).
fn username<'a>(requester: &Requester<'a>) -> Option<&'a str> {
    match requester.principal()? {
        Principal::User(_, name) => Some(name.as_str()),
        Principal::Anonymous | Principal::Root(_) | Principal::Role(_) => None,
    }
}

/// Of a session, the ARN of its role (IAM, `aws:PrincipalArn`).
fn principal_arn(requester: &Requester<'_>) -> Option<String> {
    match requester.principal()? {
        Principal::Anonymous => None,
        Principal::Role(session) => Some(format!("arn:aws:iam::{}:role/{}", session.account, session.role)),
        principal @ (Principal::Root(_) | Principal::User(..)) => Some(principal.to_string()),
    }
}

fn principal_type(requester: &Requester<'_>) -> Option<&'static str> {
    Some(match requester.principal()? {
        Principal::Anonymous => "Anonymous",
        Principal::Root(_) => "Account",
        Principal::User(..) => "User",
        Principal::Role(_) => "AssumedRole",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_or_claims() {
        for good in [
            "aws:SourceIp",
            "AWS:sourceip",
            "aws:PrincipalTag/team",
            "ecr:ResourceTag/a/b",
            "ecr:ImageTag",
            "aws:SourceVpce",
            "token.actions.githubusercontent.com:sub",
            "gitlab.example.com/group:namespace_path",
            "127.0.0.1:8443/realm:aud",
            "localhost:1234:sub",
            "[::1]:1234/x:sub",
        ] {
            assert!(ConditionKey::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "SourceIp",
            "aws:SourceIP2",
            "aws:PrincipalTag/",
            "aws:PrincipalTag",
            "ecr:Tag",
            "s3:prefix",
            "token.example.com:",
            "a b.example.com:sub",
            "aws:x.y:z",
        ] {
            assert!(ConditionKey::parse(bad).is_err(), "{bad}");
        }
    }
}
