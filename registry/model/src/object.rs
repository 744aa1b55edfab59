// SPDX-License-Identifier: Apache-2.0
//! Values that are JSON objects and nothing else.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A value that was read from an object. A derived reader takes a list of the members' values as well, which other
/// readers of the same document do not: what a scanner and an engine see must not differ.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

/// What is in an object, if it is there.
pub(crate) fn inner<T>(object: Option<Object<T>>) -> Option<T> {
    object.map(|Object(value)| value)
}

/// What is in a list of objects; nothing if there is no list.
pub(crate) fn inners<T>(objects: Option<Vec<Object<T>>>) -> Vec<T> {
    objects
        .unwrap_or_default()
        .into_iter()
        .map(|Object(value)| value)
        .collect()
}
