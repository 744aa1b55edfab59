// SPDX-License-Identifier: Apache-2.0
//! Checks on what provider logic returns, before Terraform makes them with a less helpful message.

use super::{Nested, paired};
use crate::schema::{Attribute, Kind, Mode, Nesting, ObjectSchema};
use crate::value::same;
use crate::{Diagnostic, Diagnostics, Path, Type, Value};

const BUG: &str = "This is a bug in the provider.";

/// Nothing may be unknown after a read or an apply.
pub(crate) fn check_known(value: &Value) -> Diagnostics {
    let mut paths = Vec::new();
    unknown_paths(value, &Path::root(), &mut paths);
    let error = |path: Path| {
        let detail = format!("The provider did not say what `{path}` is, although the operation is over. {BUG}");
        Diagnostic::error("Provider returned an incomplete object", detail).at(path)
    };
    paths.into_iter().map(error).collect()
}

fn unknown_paths(value: &Value, path: &Path, paths: &mut Vec<Path>) {
    match value {
        Value::Unknown => paths.push(path.clone()),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_paths(item, &path.clone().index(index), paths);
            }
        }
        Value::Map(items) => {
            for (key, item) in items {
                unknown_paths(item, &path.clone().attribute(key), paths);
            }
        }
        Value::Dynamic(inner) => unknown_paths(&inner.1, path, paths),
        Value::Null | Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
    }
}

/// The logic may not change what the user wrote, nor set what the user left out and nobody computes.
pub(crate) fn check_planned(object: &ObjectSchema, config: &Value, planned: &Value) -> Diagnostics {
    let is_broken = |attribute: &&Attribute| {
        let (wanted, planned) = (config.get(&attribute.name), planned.get(&attribute.name));
        if attribute.is_write_only || attribute.mode == Mode::Computed {
            return false;
        }
        if wanted.is_null() {
            return attribute.mode != Mode::OptionalComputed && !planned.is_null();
        }
        // Nested objects have defaults and computed values inside; Terraform checks those.
        matches!(attribute.kind, Kind::Value(_)) && wanted.is_wholly_known() && !attribute.means_same(wanted, planned)
    };
    let error = |attribute: &Attribute| {
        let detail = format!("The plan changed the argument `{}`. {BUG}", attribute.name);
        Diagnostic::error("Provider planned something else", detail).at(Path::new(&attribute.name))
    };
    object.attributes.iter().filter(is_broken).map(error).collect()
}

/// Every value that the plan promised must be there after the apply.
pub(crate) fn check_applied(object: &ObjectSchema, planned: &Value, new: &Value) -> Diagnostics {
    let mut paths = Vec::new();
    object_kept(object, planned, new, &Path::root(), &mut paths);
    let error = |path: Path| {
        let detail = format!("`{path}` is not what the plan said. {BUG}");
        Diagnostic::error("Provider broke its own plan", detail).at(path)
    };
    paths.into_iter().map(error).collect()
}

fn object_kept(object: &ObjectSchema, planned: &Value, new: &Value, path: &Path, broken: &mut Vec<Path>) {
    match (planned, new) {
        (Value::Unknown, _) | (Value::Null, Value::Null) => return,
        (Value::Map(_), Value::Map(_)) => {}
        _ => return broken.push(path.clone()),
    }
    for attribute in &object.attributes {
        let path = path.clone().attribute(&attribute.name);
        let (planned, new) = (planned.get(&attribute.name), new.get(&attribute.name));
        match (&attribute.kind, attribute.nested()) {
            (_, Some(nested)) => nested_kept(nested, planned, new, &path, broken),
            (kind, None) => {
                if !value_kept(&kind.ty(), planned, new) {
                    broken.push(path);
                }
            }
        }
    }
    for block in &object.blocks {
        let path = path.clone().attribute(&block.name);
        nested_kept(
            block.nested(),
            planned.get(&block.name),
            new.get(&block.name),
            &path,
            broken,
        );
    }
}

fn nested_kept(nested: Nested<'_>, planned: &Value, new: &Value, path: &Path, broken: &mut Vec<Path>) {
    if planned.is_unknown() {
        return;
    }
    if planned.is_null() != new.is_null() {
        return broken.push(path.clone());
    }
    match nested.nesting {
        Nesting::Single | Nesting::Group => object_kept(nested.object, planned, new, path, broken),
        Nesting::List | Nesting::Map => {
            for (step, planned, new) in paired(planned, new) {
                object_kept(nested.object, planned, new, &step.under(path), broken);
            }
        }
        Nesting::Set => {
            if !value_kept(&Type::set(nested.object.ty()), planned, new) {
                broken.push(path.clone());
            }
        }
    }
}

fn value_kept(ty: &Type, planned: &Value, new: &Value) -> bool {
    if planned.is_wholly_known() {
        return same(ty, planned, new);
    }
    match (ty, planned, new) {
        // Elements with unknown parts may turn out to be equal, so a set may shrink; it may not grow.
        (Type::Set(_), Value::List(planned), Value::List(new)) => new.len() <= planned.len(),
        (Type::List(element) | Type::Map(element), Value::List(_) | Value::Map(_), Value::List(_) | Value::Map(_)) => {
            let pairs = paired(planned, new);
            planned.len() == new.len()
                && pairs
                    .into_iter()
                    .all(|(_, planned, new)| value_kept(element, planned, new))
        }
        (Type::Object(attributes), Value::Map(_), Value::Map(_)) => attributes
            .iter()
            .all(|(name, ty)| value_kept(ty, planned.get(name), new.get(name))),
        (Type::Tuple(elements), Value::List(planned), Value::List(new)) => {
            planned.len() == new.len()
                && elements
                    .iter()
                    .zip(planned.iter().zip(new))
                    .all(|(ty, (planned, new))| value_kept(ty, planned, new))
        }
        // What is left is unknown as a whole, or dynamic with unknown parts.
        (_, planned, _) => planned.is_unknown() || *ty == Type::Dynamic,
    }
}

impl Value {
    /// The number of elements of a collection.
    fn len(&self) -> usize {
        match self {
            Self::List(items) => items.len(),
            Self::Map(items) => items.len(),
            _ => 0,
        }
    }
}
