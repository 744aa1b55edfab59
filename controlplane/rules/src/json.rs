// SPDX-License-Identifier: Apache-2.0
//! JSON as it was written: with every member, so that one that stands twice is seen.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::PolicyError;

/// A JSON value. The parser bounds how deep it nests; the grammar of policies bounds it further.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn parse(text: &str) -> Result<Self, PolicyError> {
        serde_json::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members, each at most once.
    pub(crate) fn members(&self, at: &str) -> Result<&[(String, Node)], PolicyError> {
        let Self::Object(members) = self else {
            return Err(PolicyError::member(at, "it must be an object"));
        };
        for (index, (name, _)) in members.iter().enumerate() {
            if members.iter().take(index).any(|(before, _)| before == name) {
                return Err(PolicyError::member(&place(at, name), "the member stands here twice"));
            }
        }
        Ok(members)
    }

    /// The members, each at most once, and none but the known ones.
    pub(crate) fn known_members<'a>(&'a self, at: &str, known: &[&str]) -> Result<Members<'a>, PolicyError> {
        let members = self.members(at)?;
        match members.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(Members(members)),
            Some((name, _)) => Err(PolicyError::member(
                &place(at, name),
                format!("there is no such member; known are {}", known.join(", ")),
            )),
        }
    }

    /// A text, or a list of at least one, with the pointer of each.
    pub(crate) fn texts<'a>(&'a self, at: &str) -> Result<Vec<(String, &'a str)>, PolicyError> {
        let text = |node: &'a Node, at: String| match node {
            Self::Text(text) => Ok((at, text.as_str())),
            _ => Err(PolicyError::member(&at, "it must be a text")),
        };
        match self {
            Self::List(list) if list.is_empty() => Err(PolicyError::member(at, "the list must not be empty")),
            Self::List(list) => {
                let numbered = list.iter().enumerate();
                numbered.map(|(n, node)| text(node, format!("{at}/{n}"))).collect()
            }
            one => Ok(vec![text(one, at.to_owned())?]),
        }
    }

    /// Texts, numbers and truth values, alone or as a list, as the values of a condition are written.
    pub(crate) fn scalars(&self, at: &str) -> Result<Vec<(String, String)>, PolicyError> {
        let scalar = |node: &Node, at: String| match node {
            Self::Text(text) | Self::Number(text) => Ok((at, text.clone())),
            Self::Bool(value) => Ok((at, value.to_string())),
            _ => Err(PolicyError::member(&at, "it must be a text, a number or a truth value")),
        };
        match self {
            Self::List(list) if list.is_empty() => Err(PolicyError::member(at, "the list must not be empty")),
            Self::List(list) => {
                let numbered = list.iter().enumerate();
                numbered.map(|(n, node)| scalar(node, format!("{at}/{n}"))).collect()
            }
            one => Ok(vec![scalar(one, at.to_owned())?]),
        }
    }
}

/// The members of an object of which all names are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Members<'a>(&'a [(String, Node)]);

impl<'a> Members<'a> {
    pub(crate) fn get(self, name: &str) -> Option<&'a Node> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }

    pub(crate) fn text(self, at: &str, name: &str) -> Result<Option<&'a str>, PolicyError> {
        match self.get(name) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(_) => Err(PolicyError::member(&place(at, name), "it must be a text")),
        }
    }
}

/// The pointer to a member (RFC 6901, section 3).
pub(crate) fn place(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            members.push(entry);
        }
        Ok(Node::Object(members))
    }
}
