// SPDX-License-Identifier: Apache-2.0
//! The rules that Terraform checks when it loads a provider, and a few of our own.
//!
//! Terraform disables the whole provider when one attribute breaks a rule, so
//! the same rules run in a provider's unit tests: see [`Description::problems`](crate::Description::problems).

use std::collections::BTreeSet;

use super::{Attribute, FunctionSchema, Kind, Mode, NestedBlock, Nesting, ObjectSchema};
use crate::value::encode;
use crate::{Path, Type};

/// What a schema is for; some names and properties are only allowed for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The provider block.
    Provider,
    /// A managed resource.
    Managed,
    /// A data source.
    Data,
    /// An ephemeral resource.
    Ephemeral,
    /// An action.
    Action,
    /// A list resource.
    List,
}

/// Names that Terraform keeps for itself in every block with a schema.
const META_ARGUMENTS: [&str; 8] = [
    "count",
    "for_each",
    "provider",
    "depends_on",
    "lifecycle",
    "connection",
    "provisioner",
    "locals",
];
/// Names that it keeps for itself in a provider block, in addition.
const PROVIDER_META_ARGUMENTS: [&str; 3] = ["alias", "version", "source"];

/// What is wrong with a configured object, each as "`path` problem".
#[must_use]
pub fn check_object(surface: Surface, object: &ObjectSchema) -> Vec<String> {
    let mut problems = Vec::new();
    for name in object.names() {
        let is_reserved =
            META_ARGUMENTS.contains(&name) || (surface == Surface::Provider && PROVIDER_META_ARGUMENTS.contains(&name));
        if is_reserved {
            problems.push(format!("`{name}` is a name that Terraform keeps for itself"));
        }
    }
    let place = Place { surface, in_set: false };
    check_members(place, object, &Path::root(), &mut problems);
    problems
}

/// What is wrong with an identity: it is a flat object of primitives, each required or optional for import.
#[must_use]
pub fn check_identity(identity: &ObjectSchema) -> Vec<String> {
    let mut problems = Vec::new();
    if !identity.blocks.is_empty() {
        problems.push("an identity cannot have blocks".to_owned());
    }
    check_names(identity, &Path::root(), &mut problems);
    for attribute in &identity.attributes {
        let name = &attribute.name;
        let primitive = |ty: &Type| matches!(ty, Type::String | Type::Number | Type::Bool);
        let is_simple = match &attribute.kind {
            Kind::Value(Type::List(element)) => primitive(element),
            Kind::Value(ty) => primitive(ty),
            Kind::Nested { .. } => false,
        };
        if !is_simple {
            problems.push(format!("`{name}` must be a primitive or a list of primitives"));
        }
        if !matches!(attribute.mode, Mode::Required | Mode::Optional) {
            problems.push(format!("`{name}` must be required or optional for import"));
        }
    }
    problems
}

/// What is wrong with a function's signature.
#[must_use]
pub fn check_function(name: &str, function: &FunctionSchema) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_name(name) {
        problems.push(format!("`{name}` is not a valid name"));
    }
    let mut seen = BTreeSet::new();
    for parameter in function.parameters.iter().chain(&function.variadic) {
        if !is_name(&parameter.name) {
            problems.push(format!("`{}` is not a valid name", parameter.name));
        }
        if !seen.insert(&parameter.name) {
            problems.push(format!("`{}` is declared twice", parameter.name));
        }
    }
    problems
}

/// Lower-case letters, digits and underscores, starting with a letter.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[derive(Clone, Copy)]
struct Place {
    surface: Surface,
    in_set: bool,
}

impl ObjectSchema {
    fn names(&self) -> impl Iterator<Item = &str> {
        let blocks = self.blocks.iter().map(|block| block.name.as_str());
        self.attributes
            .iter()
            .map(|attribute| attribute.name.as_str())
            .chain(blocks)
    }
}

fn check_names(object: &ObjectSchema, path: &Path, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in object.names() {
        let at = path.clone().attribute(name);
        if !is_name(name) {
            problems.push(format!("`{at}` is not a valid name"));
        }
        if !seen.insert(name) {
            problems.push(format!("`{at}` is declared twice"));
        }
    }
}

fn check_members(place: Place, object: &ObjectSchema, path: &Path, problems: &mut Vec<String>) {
    check_names(object, path, problems);
    for attribute in &object.attributes {
        check_attribute(place, attribute, &path.clone().attribute(&attribute.name), problems);
    }
    for block in &object.blocks {
        check_block(place, block, &path.clone().attribute(&block.name), problems);
    }
}

fn check_attribute(place: Place, attribute: &Attribute, path: &Path, problems: &mut Vec<String>) {
    let mut problem = |text: &str| problems.push(format!("`{path}` {text}"));
    if attribute.is_write_only {
        if place.surface != Surface::Managed {
            problem("is write-only, which only managed resources may have");
        }
        if place.in_set {
            problem("is write-only inside a set");
        }
        if attribute.mode.is_computed() {
            problem("is write-only and computed");
        }
    }
    // Objects that are only configured have nothing computed; the default is filled in before the logic runs.
    let is_config_only = matches!(place.surface, Surface::Provider | Surface::Action | Surface::List);
    if is_config_only && attribute.mode.is_computed() {
        problem("is computed, but nothing computes it here");
    }
    if let Some(default) = &attribute.default {
        let mode = if is_config_only {
            Mode::Optional
        } else {
            Mode::OptionalComputed
        };
        if attribute.mode != mode {
            problem("has a default, but cannot be left out");
        }
        if !default.is_wholly_known() || encode(&attribute.kind.ty(), default).is_err() {
            problem("has a default of another type");
        } else if attribute
            .validators
            .iter()
            .any(|validator| validator.check(default).is_err())
        {
            problem("has a default that its own validator refuses");
        }
    }
    if attribute.is_stable && !attribute.mode.is_computed() {
        problem("is stable, but not computed");
    }
    if !attribute.mode.is_configurable() && !attribute.validators.is_empty() {
        problem("has a validator, but cannot be configured");
    }
    match &attribute.kind {
        Kind::Value(ty) => {
            if has_dynamic_set(ty) || (place.in_set && ty.has_dynamic()) {
                problem("has a dynamic type inside a set");
            }
        }
        Kind::Nested { nesting, object } => {
            if *nesting == Nesting::Group {
                problem("is a group, which only blocks can be");
            }
            if object.attributes.is_empty() {
                problem("has no nested attributes");
            }
            if !object.blocks.is_empty() {
                problem("has blocks inside a nested attribute");
            }
            check_collection(*nesting, object, path, problems);
            let place = Place {
                in_set: place.in_set || *nesting == Nesting::Set,
                ..place
            };
            check_members(place, object, path, problems);
        }
    }
}

fn check_block(place: Place, block: &NestedBlock, path: &Path, problems: &mut Vec<String>) {
    let mut problem = |text: &str| problems.push(format!("`{path}` {text}"));
    let (min, max) = (block.min_items, block.max_items);
    let limits_are_good = match block.nesting {
        Nesting::Single => min == max && max <= 1,
        Nesting::Map | Nesting::Group => min == 0 && max == 0,
        Nesting::List | Nesting::Set => max == 0 || min <= max,
    };
    if !limits_are_good {
        problem("has limits that its nesting does not allow");
    }
    if block.object.attributes.is_empty() && block.object.blocks.is_empty() {
        problem("is a block without content; its type must derive `Object`");
    }
    check_collection(block.nesting, &block.object, path, problems);
    let place = Place {
        in_set: place.in_set || block.nesting == Nesting::Set,
        ..place
    };
    check_members(place, &block.object, path, problems);
}

/// Elements of a collection have one type, so none of them can have a type of its own.
fn check_collection(nesting: Nesting, object: &ObjectSchema, path: &Path, problems: &mut Vec<String>) {
    let is_collection = !matches!(nesting, Nesting::Single | Nesting::Group);
    if is_collection && object.ty().has_dynamic() {
        problems.push(format!("`{path}` has a dynamic type inside a collection"));
    }
}

fn has_dynamic_set(ty: &Type) -> bool {
    match ty {
        Type::Set(element) => element.has_dynamic(),
        Type::List(element) | Type::Map(element) => has_dynamic_set(element),
        Type::Object(attributes) => attributes.values().any(has_dynamic_set),
        Type::Tuple(elements) => elements.iter().any(has_dynamic_set),
        Type::String | Type::Number | Type::Bool | Type::Dynamic => false,
    }
}
