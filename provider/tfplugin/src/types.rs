// SPDX-License-Identifier: Apache-2.0
//! Type constraints and their JSON form.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use crate::value::MAX_DEPTH;

/// A Terraform type constraint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// Text.
    String,
    /// A number of any size.
    Number,
    /// True or false.
    Bool,
    /// Whatever type the value has.
    Dynamic,
    /// Elements of one type, in order.
    List(Box<Type>),
    /// Elements of one type, without order or duplicates.
    Set(Box<Type>),
    /// Elements of one type, by name.
    Map(Box<Type>),
    /// Named attributes, each with its own type.
    Object(BTreeMap<String, Type>),
    /// Elements in order, each with its own type.
    Tuple(Vec<Type>),
}

/// A type constraint that is malformed or nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a type constraint")]
pub struct TypeError;

impl Type {
    /// A list of `element`.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of `element`.
    #[must_use]
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map of `element`.
    #[must_use]
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object with the given attributes.
    #[must_use]
    pub fn object<K: Into<String>>(attributes: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// The compact JSON form, such as `["list","string"]`.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_value().to_string()
    }

    /// Parses the JSON form. The third member of an object type (its optional attributes) is ignored.
    pub fn from_json(text: &[u8]) -> Result<Self, TypeError> {
        let json: Json = serde_json::from_slice(text).map_err(|_| TypeError)?;
        Self::from_json_value(&json, MAX_DEPTH)
    }

    /// Whether values of this type may be equal though their encodings differ.
    pub(crate) fn has_order_freedom(&self) -> bool {
        match self {
            // An absent attribute of an object equals a null one.
            Self::Set(_) | Self::Dynamic | Self::Object(_) => true,
            Self::String | Self::Number | Self::Bool => false,
            Self::List(element) | Self::Map(element) => element.has_order_freedom(),
            Self::Tuple(elements) => elements.iter().any(Self::has_order_freedom),
        }
    }

    /// Whether the type is or contains `dynamic`.
    #[must_use]
    pub fn has_dynamic(&self) -> bool {
        match self {
            Self::Dynamic => true,
            Self::String | Self::Number | Self::Bool => false,
            Self::List(element) | Self::Map(element) | Self::Set(element) => element.has_dynamic(),
            Self::Object(attributes) => attributes.values().any(Self::has_dynamic),
            Self::Tuple(elements) => elements.iter().any(Self::has_dynamic),
        }
    }

    fn to_json_value(&self) -> Json {
        let pair = |name: &str, argument: Json| Json::Array(vec![name.into(), argument]);
        match self {
            Self::String => "string".into(),
            Self::Number => "number".into(),
            Self::Bool => "bool".into(),
            Self::Dynamic => "dynamic".into(),
            Self::List(element) => pair("list", element.to_json_value()),
            Self::Set(element) => pair("set", element.to_json_value()),
            Self::Map(element) => pair("map", element.to_json_value()),
            Self::Object(attributes) => {
                let attributes = attributes.iter().map(|(name, ty)| (name.clone(), ty.to_json_value()));
                pair("object", Json::Object(attributes.collect()))
            }
            Self::Tuple(elements) => pair("tuple", Json::Array(elements.iter().map(Self::to_json_value).collect())),
        }
    }

    fn from_json_value(json: &Json, depth: usize) -> Result<Self, TypeError> {
        let depth = depth.checked_sub(1).ok_or(TypeError)?;
        let inner = |json: &Json| Self::from_json_value(json, depth);
        if let Some(name) = json.as_str() {
            return match name {
                "string" => Ok(Self::String),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "dynamic" => Ok(Self::Dynamic),
                _ => Err(TypeError),
            };
        }
        let (name, argument) = match json.as_array().map(Vec::as_slice) {
            Some([name, argument]) => (name, argument),
            Some([name, argument, _optional]) if name == "object" => (name, argument),
            _ => return Err(TypeError),
        };
        match (name.as_str(), argument) {
            (Some("list"), element) => Ok(Self::list(inner(element)?)),
            (Some("set"), element) => Ok(Self::set(inner(element)?)),
            (Some("map"), element) => Ok(Self::map(inner(element)?)),
            (Some("object"), Json::Object(attributes)) => attributes
                .iter()
                .map(|(name, ty)| Ok((name.clone(), inner(ty)?)))
                .collect::<Result<_, _>>()
                .map(Self::Object),
            (Some("tuple"), Json::Array(elements)) => {
                elements.iter().map(inner).collect::<Result<_, _>>().map(Self::Tuple)
            }
            _ => Err(TypeError),
        }
    }
}

impl fmt::Display for Type {
    /// As documentation writes it: `list(string)`, `object({a = string})`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => out.write_str("string"),
            Self::Number => out.write_str("number"),
            Self::Bool => out.write_str("bool"),
            Self::Dynamic => out.write_str("dynamic"),
            Self::List(element) => write!(out, "list({element})"),
            Self::Set(element) => write!(out, "set({element})"),
            Self::Map(element) => write!(out, "map({element})"),
            Self::Object(attributes) => {
                let attributes: Vec<_> = attributes.iter().map(|(name, ty)| format!("{name} = {ty}")).collect();
                write!(out, "object({{{}}})", attributes.join(", "))
            }
            Self::Tuple(elements) => {
                let elements: Vec<_> = elements.iter().map(ToString::to_string).collect();
                write!(out, "tuple([{}])", elements.join(", "))
            }
        }
    }
}
