// SPDX-License-Identifier: Apache-2.0
//! Keeps the user's own text where the server's answer means the same.

use super::{Nested, paired};
use crate::schema::{Attribute, Nesting, ObjectSchema};
use crate::{Path, Value};

/// `new`, with every part that means the same as in `reference` written as there.
///
/// `reference` is the prior state on read, and the planned state after apply.
pub(crate) fn keep_meaning(object: &ObjectSchema, reference: &Value, new: Value) -> Value {
    let Value::Map(mut members) = new else { return new };
    for attribute in &object.attributes {
        let before = reference.get(&attribute.name);
        if let Some(value) = members.get_mut(&attribute.name) {
            *value = keep_attribute(attribute, before, std::mem::take(value));
        }
    }
    for block in &object.blocks {
        let before = reference.get(&block.name);
        if let Some(value) = members.get_mut(&block.name) {
            *value = keep_nested(block.nested(), before, std::mem::take(value));
        }
    }
    Value::Map(members)
}

fn keep_attribute(attribute: &Attribute, reference: &Value, new: Value) -> Value {
    if attribute.is_write_only {
        return Value::Null;
    }
    if reference.is_unknown() {
        return new;
    }
    let is_omitted = |test: &crate::schema::Validator| !new.is_null() && test.check(&new).is_ok();
    if reference.is_null() && attribute.omitted.as_ref().is_some_and(is_omitted) {
        return Value::Null;
    }
    if attribute.means_same(reference, &new) {
        return reference.clone();
    }
    match attribute.nested() {
        Some(nested) => keep_nested(nested, reference, new),
        None => new,
    }
}

fn keep_nested(nested: Nested<'_>, reference: &Value, new: Value) -> Value {
    if reference.is_null() || reference.is_unknown() {
        return new;
    }
    match (nested.nesting, new) {
        (Nesting::Single | Nesting::Group, new) => keep_meaning(nested.object, reference, new),
        (Nesting::List, Value::List(items)) => {
            let before = reference.as_list().unwrap_or_default();
            let kept = items
                .into_iter()
                .enumerate()
                .map(|(index, item)| match before.get(index) {
                    Some(before) => keep_meaning(nested.object, before, item),
                    None => item,
                });
            Value::List(kept.collect())
        }
        (Nesting::Map, Value::Map(items)) => {
            let kept = items.into_iter().map(|(key, item)| {
                let item = keep_meaning(nested.object, reference.get(&key), item);
                (key, item)
            });
            Value::Map(kept.collect())
        }
        (Nesting::Set, Value::List(items)) => {
            let mut unused: Vec<&Value> = reference.as_list().unwrap_or_default().iter().collect();
            let ty = nested.object.ty();
            let kept = items.into_iter().map(|item| {
                // The partner is the element that becomes equal once its own text is kept.
                let partner = unused.iter().enumerate().find_map(|(position, before)| {
                    let kept = keep_meaning(nested.object, before, item.clone());
                    crate::value::same(&ty, before, &kept).then_some(position)
                });
                match partner {
                    Some(position) => unused.swap_remove(position).clone(),
                    None => item,
                }
            });
            Value::List(kept.collect())
        }
        (Nesting::List | Nesting::Map | Nesting::Set, other) => other,
    }
}

/// The object with every write-only attribute null, at any depth.
pub(crate) fn without_write_only(object: &ObjectSchema, value: Value) -> Value {
    let Value::Map(mut members) = value else { return value };
    for attribute in &object.attributes {
        if let Some(value) = members.get_mut(&attribute.name) {
            if attribute.is_write_only {
                *value = Value::Null;
            } else if let Some(nested) = attribute.nested() {
                *value = each(nested, std::mem::take(value), &without_write_only);
            }
        }
    }
    for block in &object.blocks {
        if let Some(value) = members.get_mut(&block.name) {
            *value = each(block.nested(), std::mem::take(value), &without_write_only);
        }
    }
    Value::Map(members)
}

/// Fills in what an object must always carry: all attributes, and empty collections for absent blocks.
pub(crate) fn complete(object: &ObjectSchema, value: Value) -> Value {
    let Value::Map(mut members) = value else { return value };
    for attribute in &object.attributes {
        let value = members.entry(attribute.name.clone()).or_default();
        if let Some(nested) = attribute.nested() {
            *value = each(nested, std::mem::take(value), &complete);
        }
    }
    for block in &object.blocks {
        let value = members.entry(block.name.clone()).or_default();
        if value.is_null() {
            *value = match block.nesting {
                Nesting::List | Nesting::Set => Value::List(Vec::new()),
                Nesting::Map | Nesting::Group => Value::Map(std::collections::BTreeMap::new()),
                Nesting::Single => Value::Null,
            };
        }
        *value = each(block.nested(), std::mem::take(value), &complete);
    }
    Value::Map(members)
}

/// Applies `change` to every nested object.
pub(super) fn each(nested: Nested<'_>, value: Value, change: &dyn Fn(&ObjectSchema, Value) -> Value) -> Value {
    match (nested.nesting, value) {
        (Nesting::Single | Nesting::Group, value) => change(nested.object, value),
        (_, Value::List(items)) => Value::List(items.into_iter().map(|item| change(nested.object, item)).collect()),
        (_, Value::Map(items)) => Value::Map(
            items
                .into_iter()
                .map(|(key, item)| (key, change(nested.object, item)))
                .collect(),
        ),
        (_, other) => other,
    }
}

/// Calls `visit` with every attribute of the object and its value, from the outside in. Paths end at sets.
pub(super) fn walk(
    object: &ObjectSchema,
    value: &Value,
    path: &Path,
    visit: &mut dyn FnMut(&Attribute, &Value, &Path),
) {
    if value.as_map().is_none() {
        return;
    }
    for attribute in &object.attributes {
        let path = path.clone().attribute(&attribute.name);
        let value = value.get(&attribute.name);
        visit(attribute, value, &path);
        if let Some(nested) = attribute.nested() {
            walk_nested(nested, value, &path, visit);
        }
    }
    for block in &object.blocks {
        walk_nested(
            block.nested(),
            value.get(&block.name),
            &path.clone().attribute(&block.name),
            visit,
        );
    }
}

fn walk_nested(nested: Nested<'_>, value: &Value, path: &Path, visit: &mut dyn FnMut(&Attribute, &Value, &Path)) {
    match nested.nesting {
        Nesting::Single | Nesting::Group => walk(nested.object, value, path, visit),
        Nesting::List | Nesting::Map => {
            for (step, item, _) in paired(value, &Value::Null) {
                walk(nested.object, item, &step.under(path), visit);
            }
        }
        Nesting::Set => {
            // Elements of a set have no address: what is said about them is said about the set.
            for item in value.as_list().unwrap_or_default() {
                walk(nested.object, item, path, &mut |attribute, value, _| {
                    visit(attribute, value, path);
                });
            }
        }
    }
}
