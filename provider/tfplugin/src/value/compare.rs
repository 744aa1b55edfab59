// SPDX-License-Identifier: Apache-2.0
//! Equality by value: numbers by magnitude, sets without order.

use super::{Value, encode};
use crate::Type;

/// Whether `a` and `b` are the same value of type `ty`. An unknown value is the same as nothing but an unknown value.
#[must_use]
pub fn same(ty: &Type, a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    if !ty.has_order_freedom() {
        // A dynamic value is null whether or not it carries a type.
        return a.is_null() && b.is_null();
    }
    match (canonical(ty, a), canonical(ty, b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The value with every set sorted by its encoding and free of duplicates.
fn canonical(ty: &Type, value: &Value) -> Option<Value> {
    Some(match (ty, value) {
        (Type::Set(element), Value::List(items)) => {
            let mut keyed = items
                .iter()
                .map(|item| {
                    let item = canonical(element, item)?;
                    Some((encode(element, &item).ok()?, item))
                })
                .collect::<Option<Vec<_>>>()?;
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            keyed.dedup_by(|a, b| a.0 == b.0);
            Value::List(keyed.into_iter().map(|(_, item)| item).collect())
        }
        (Type::List(element), Value::List(items)) => Value::List(
            items
                .iter()
                .map(|item| canonical(element, item))
                .collect::<Option<_>>()?,
        ),
        (Type::Tuple(elements), Value::List(items)) => {
            if elements.len() != items.len() {
                return None;
            }
            Value::List(
                elements
                    .iter()
                    .zip(items)
                    .map(|(ty, item)| canonical(ty, item))
                    .collect::<Option<_>>()?,
            )
        }
        (Type::Map(element), Value::Map(items)) => Value::Map(
            items
                .iter()
                .map(|(key, item)| Some((key.clone(), canonical(element, item)?)))
                .collect::<Option<_>>()?,
        ),
        (Type::Object(attributes), Value::Map(_)) => Value::Map(
            attributes
                .iter()
                .map(|(name, ty)| Some((name.clone(), canonical(ty, value.get(name))?)))
                .collect::<Option<_>>()?,
        ),
        (Type::Dynamic, Value::Dynamic(inner)) => {
            Value::Dynamic(Box::new((inner.0.clone(), canonical(&inner.0, &inner.1)?)))
        }
        (_, value) => value.clone(),
    })
}
