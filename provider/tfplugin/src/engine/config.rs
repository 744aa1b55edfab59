// SPDX-License-Identifier: Apache-2.0
//! Configurations: validators, write-only arguments, defaults, and configuration from state.

use super::normalise::{each, walk};
use crate::schema::{Mode, ObjectSchema};
use crate::{Diagnostic, Diagnostics, Path, Value};

/// Runs every validator on every known value.
pub(crate) fn validate(object: &ObjectSchema, config: &Value) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    walk(object, config, &Path::root(), &mut |attribute, value, path| {
        for validator in &attribute.validators {
            if let Err((inner, message)) = validator.check(value) {
                let place = path.clone().join(&inner);
                diagnostics.push(Diagnostic::error(format!("Invalid `{place}`"), message).at(place));
            }
        }
    });
    diagnostics
}

/// The write-only arguments that the configuration sets.
pub(crate) fn write_only_paths(object: &ObjectSchema, config: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    walk(object, config, &Path::root(), &mut |attribute, value, path| {
        if attribute.is_write_only && !value.is_null() {
            paths.push(path.clone());
        }
    });
    paths
}

/// The object with the default in place of each absent argument that has one, at any depth.
pub(crate) fn with_defaults(object: &ObjectSchema, value: Value) -> Value {
    let Value::Map(mut members) = value else { return value };
    for attribute in &object.attributes {
        let member = members.entry(attribute.name.clone()).or_default();
        if let (Value::Null, Some(default)) = (&member, &attribute.default) {
            *member = default.clone();
        } else if let Some(nested) = attribute.nested() {
            *member = each(nested, std::mem::take(member), &with_defaults);
        }
    }
    for block in &object.blocks {
        if let Some(member) = members.get_mut(&block.name) {
            *member = each(block.nested(), std::mem::take(member), &with_defaults);
        }
    }
    Value::Map(members)
}

/// The configuration that gives `state`: without computed attributes and without arguments that have their default value.
pub(crate) fn generated_config(object: &ObjectSchema, state: Value) -> Value {
    let Value::Map(mut members) = state else { return state };
    for attribute in &object.attributes {
        let Some(value) = members.get_mut(&attribute.name) else {
            continue;
        };
        let is_default = attribute
            .default
            .as_ref()
            .is_some_and(|default| attribute.means_same(value, default));
        if attribute.mode == Mode::Computed || attribute.is_write_only || attribute.deprecation.is_some() || is_default
        {
            *value = Value::Null;
        } else if let Some(nested) = attribute.nested() {
            *value = each(nested, std::mem::take(value), &generated_config);
        }
    }
    for block in &object.blocks {
        if let Some(value) = members.get_mut(&block.name) {
            *value = each(block.nested(), std::mem::take(value), &generated_config);
        }
    }
    Value::Map(members)
}
