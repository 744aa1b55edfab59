// SPDX-License-Identifier: Apache-2.0
//! The planned state: a function of schema, prior state and configuration.

use std::collections::BTreeMap;

use super::{Nested, paired};
use crate::schema::{Attribute, NestedBlock, Nesting, ObjectSchema};
use crate::{Path, Value};

/// Plans a create (`prior` is null) or an update.
///
/// * A configured value is planned as written, or as in the prior state if it means the same.
/// * An absent argument gets its default; without one, a computed attribute keeps its prior value if it is stable or
///   nothing changes, and is unknown otherwise.
/// * Write-only attributes are null.
pub(crate) fn planned(object: &ObjectSchema, prior: &Value, config: &Value) -> Value {
    plan_with(object, prior, config, differs(object, prior, config))
}

/// As [`planned`], for an object that changes although the configuration asks for nothing new.
pub(crate) fn planned_as_changed(object: &ObjectSchema, prior: &Value, config: &Value) -> Value {
    plan_with(object, prior, config, true)
}

/// Whether the configuration asks for a change.
pub(crate) fn differs(object: &ObjectSchema, prior: &Value, config: &Value) -> bool {
    prior.is_null() || object_differs(object, prior, config)
}

fn plan_with(object: &ObjectSchema, prior: &Value, config: &Value, is_changed: bool) -> Value {
    plan_object(
        object,
        Prior::of(prior),
        config,
        Scope {
            is_changed,
            keeps_text: true,
        },
    )
}

/// The attributes whose change needs a new object.
pub(crate) fn replacements(object: &ObjectSchema, prior: &Value, planned: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    if !prior.is_null() && !planned.is_null() {
        replaced_members(object, prior, planned, &Path::root(), &mut paths);
    }
    paths
}

#[derive(Clone, Copy)]
struct Scope {
    /// Whether anything in the resource changes, so that computed attributes may.
    is_changed: bool,
    /// Whether the prior text may stand for a configured value of the same meaning. Terraform allows it except
    /// for the elements of sets, which it cannot correlate.
    keeps_text: bool,
}

/// The prior state of an object: none if it is new.
#[derive(Clone, Copy)]
struct Prior<'a>(Option<&'a BTreeMap<String, Value>>);

impl<'a> Prior<'a> {
    fn of(value: &'a Value) -> Self {
        Self(value.as_map())
    }

    fn get(self, name: &str) -> &'a Value {
        const NULL: &Value = &Value::Null;
        self.0.and_then(|object| object.get(name)).unwrap_or(NULL)
    }
}

fn plan_object(object: &ObjectSchema, prior: Prior<'_>, config: &Value, scope: Scope) -> Value {
    if config.is_null() || config.is_unknown() {
        return config.clone();
    }
    let attributes = object.attributes.iter().map(|attribute| {
        let value = plan_attribute(attribute, prior, config.get(&attribute.name), scope);
        (attribute.name.clone(), value)
    });
    let blocks = object.blocks.iter().map(|block| {
        let value = plan_nested(block.nested(), prior.get(&block.name), config.get(&block.name), scope);
        (block.name.clone(), value)
    });
    Value::Map(attributes.chain(blocks).collect())
}

fn plan_attribute(attribute: &Attribute, prior: Prior<'_>, config: &Value, scope: Scope) -> Value {
    let before = prior.get(&attribute.name);
    if attribute.is_write_only {
        return Value::Null;
    }
    if config.is_null() {
        if let Some(default) = &attribute.default {
            let keeps = scope.keeps_text && attribute.means_same(before, default);
            return if keeps { before.clone() } else { default.clone() };
        }
        if !attribute.mode.is_computed() {
            return Value::Null;
        }
        let keeps = prior.0.is_some() && (attribute.is_stable || !scope.is_changed);
        return if keeps { before.clone() } else { Value::Unknown };
    }
    if config.is_unknown() {
        return config.clone();
    }
    if scope.keeps_text && attribute.means_same(before, config) {
        return before.clone();
    }
    match attribute.nested() {
        // As a whole, a set may keep its prior text.
        Some(nested)
            if nested.nesting == Nesting::Set && scope.keeps_text && !nested_differs(nested, before, config) =>
        {
            before.clone()
        }
        Some(nested) => plan_nested(nested, before, config, scope),
        None => config.clone(),
    }
}

fn plan_nested(nested: Nested<'_>, prior: &Value, config: &Value, scope: Scope) -> Value {
    match (nested.nesting, config) {
        (_, Value::Null | Value::Unknown) => config.clone(),
        (Nesting::Single | Nesting::Group, config) => plan_object(nested.object, Prior::of(prior), config, scope),
        (Nesting::Set, Value::List(items)) => {
            let mut unused: Vec<&Value> = prior.as_list().unwrap_or_default().iter().collect();
            let scope = Scope {
                keeps_text: false,
                ..scope
            };
            let planned = items.iter().map(|item| {
                let partner = take_partner(nested.object, &mut unused, item);
                plan_object(nested.object, partner.map_or(Prior(None), Prior::of), item, scope)
            });
            Value::List(planned.collect())
        }
        (Nesting::List, Value::List(items)) => {
            let prior = prior.as_list().unwrap_or_default();
            let planned = items.iter().enumerate().map(|(index, item)| {
                plan_object(
                    nested.object,
                    prior.get(index).map_or(Prior(None), Prior::of),
                    item,
                    scope,
                )
            });
            Value::List(planned.collect())
        }
        (Nesting::Map, Value::Map(items)) => {
            let planned = items.iter().map(|(key, item)| {
                (
                    key.clone(),
                    plan_object(nested.object, Prior::of(prior.get(key)), item, scope),
                )
            });
            Value::Map(planned.collect())
        }
        // A value that does not fit its schema; Terraform never sends one.
        (Nesting::Set | Nesting::List | Nesting::Map, other) => other.clone(),
    }
}

/// Removes and returns the prior element of a set that means the same as `config`.
fn take_partner<'a>(object: &ObjectSchema, unused: &mut Vec<&'a Value>, config: &Value) -> Option<&'a Value> {
    let position = unused.iter().position(|prior| !object_differs(object, prior, config))?;
    Some(unused.swap_remove(position))
}

/// Whether the configuration asks for something else than the prior state has. What it leaves to the provider is no difference.
fn object_differs(object: &ObjectSchema, prior: &Value, config: &Value) -> bool {
    match (prior, config) {
        (Value::Null, Value::Null) => false,
        (Value::Map(_), Value::Map(_)) => {
            let attribute = |attribute: &Attribute| {
                attribute_differs(attribute, prior.get(&attribute.name), config.get(&attribute.name))
            };
            let block =
                |block: &NestedBlock| nested_differs(block.nested(), prior.get(&block.name), config.get(&block.name));
            object.attributes.iter().any(attribute) || object.blocks.iter().any(block)
        }
        _ => true,
    }
}

fn attribute_differs(attribute: &Attribute, prior: &Value, config: &Value) -> bool {
    if attribute.is_write_only {
        return false;
    }
    if config.is_null() {
        return match &attribute.default {
            Some(default) => !attribute.means_same(prior, default),
            None => !attribute.mode.is_computed() && !prior.is_null(),
        };
    }
    if config.is_unknown() {
        return true;
    }
    if attribute.means_same(prior, config) {
        return false;
    }
    attribute
        .nested()
        .is_none_or(|nested| nested_differs(nested, prior, config))
}

fn nested_differs(nested: Nested<'_>, prior: &Value, config: &Value) -> bool {
    if config.is_unknown() {
        return true;
    }
    match nested.nesting {
        Nesting::Single | Nesting::Group => object_differs(nested.object, prior, config),
        Nesting::List | Nesting::Map => {
            prior.is_null() != config.is_null()
                || paired(prior, config)
                    .into_iter()
                    .any(|(_, prior, config)| object_differs(nested.object, prior, config))
        }
        Nesting::Set => {
            let mut unused: Vec<&Value> = prior.as_list().unwrap_or_default().iter().collect();
            let wanted = config.as_list().unwrap_or_default();
            prior.is_null() != config.is_null()
                || unused.len() != wanted.len()
                || wanted
                    .iter()
                    .any(|item| take_partner(nested.object, &mut unused, item).is_none())
        }
    }
}

fn replaced_members(object: &ObjectSchema, prior: &Value, planned: &Value, path: &Path, paths: &mut Vec<Path>) {
    for attribute in &object.attributes {
        let path = path.clone().attribute(&attribute.name);
        let (before, after) = (prior.get(&attribute.name), planned.get(&attribute.name));
        if attribute.forces_replacement && !attribute.means_same(before, after) {
            paths.push(path);
        } else if let Some(nested) = attribute.nested() {
            replaced_nested(nested, before, after, &path, paths);
        }
    }
    for block in &object.blocks {
        let path = path.clone().attribute(&block.name);
        replaced_nested(
            block.nested(),
            prior.get(&block.name),
            planned.get(&block.name),
            &path,
            paths,
        );
    }
}

fn replaced_nested(nested: Nested<'_>, prior: &Value, planned: &Value, path: &Path, paths: &mut Vec<Path>) {
    match nested.nesting {
        Nesting::Single | Nesting::Group => replaced_members(nested.object, prior, planned, path, paths),
        Nesting::List | Nesting::Map => {
            for (step, before, after) in paired(prior, planned) {
                replaced_members(nested.object, before, after, &step.under(path), paths);
            }
        }
        // Elements of a set have no address: the set stands for them.
        Nesting::Set => {
            let is_same = crate::value::same(&nested_type(nested), prior, planned);
            if !is_same && forces_replacement(nested.object) {
                paths.push(path.clone());
            }
        }
    }
}

fn nested_type(nested: Nested<'_>) -> crate::Type {
    crate::Type::set(nested.object.ty())
}

fn forces_replacement(object: &ObjectSchema) -> bool {
    let attribute = |attribute: &Attribute| {
        attribute.forces_replacement
            || attribute
                .nested()
                .is_some_and(|nested| forces_replacement(nested.object))
    };
    object.attributes.iter().any(attribute) || object.blocks.iter().any(|block| forces_replacement(&block.object))
}
