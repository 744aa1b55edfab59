// SPDX-License-Identifier: Apache-2.0
//! What names an object for good, for Terraform 1.12 and later.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use tfplugin::schema::{Kind, Mode};
use tfplugin::{Attribute, Fields, Mismatch, Type, Value};

use super::Noun;

/// The attribute that says in which registry an object is.
pub(super) const REGISTRY_ID: &str = "registry_id";

/// The key of a noun, with the registry that it counts in.
pub(crate) struct Identity<N> {
    members: BTreeMap<String, Value>,
    noun: PhantomData<fn() -> N>,
}

impl<N: Noun> Identity<N> {
    /// The identity of `object`, as far as it is known.
    pub fn of(object: &N) -> Self {
        let mut members = object.to_object();
        let names = Self::names();
        members.retain(|name, _| names.contains(&name.as_str()));
        Self {
            members,
            noun: PhantomData,
        }
    }

    /// An attribute's text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.members.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    fn names() -> Vec<&'static str> {
        let is_in_registry = N::schema().object.attribute(REGISTRY_ID).is_some() && !N::KEY.contains(&REGISTRY_ID);
        is_in_registry
            .then_some(REGISTRY_ID)
            .into_iter()
            .chain(N::KEY.iter().copied())
            .collect()
    }
}

impl<N: Noun> Fields for Identity<N> {
    fn attributes() -> Vec<Attribute> {
        let object = N::schema().object;
        let attribute = |name| {
            let (mode, description) = if name == REGISTRY_ID {
                let text = "The registry: the 12 digits of its account. That of the credentials, if left out.";
                (Mode::Optional, text)
            } else {
                let described = object.attribute(name).map(|it| it.description.as_str());
                (Mode::Required, described.unwrap_or_default())
            };
            Attribute::new(name, Kind::Value(Type::String), mode).describe(description)
        };
        Self::names().into_iter().map(attribute).collect()
    }

    fn from_object(object: BTreeMap<String, Value>) -> Result<Self, Mismatch> {
        Ok(Self {
            members: object,
            noun: PhantomData,
        })
    }

    fn to_object(&self) -> BTreeMap<String, Value> {
        self.members.clone()
    }
}
