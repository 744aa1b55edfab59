// SPDX-License-Identifier: Apache-2.0
//! Schemas as Markdown, in the form that readers of the Terraform Registry know.

use std::fmt::Write as _;

use tfplugin::schema::{Kind, Mode, Nesting, ObjectSchema};
use tfplugin::{Attribute, Type, Value};

/// The section `## Schema`, with the nested schemas behind it.
pub(super) fn section(object: &ObjectSchema) -> String {
    let mut text = String::from("## Schema\n");
    let mut nested = Vec::new();
    groups(object, "", "\n### ", &mut text, &mut nested);
    let mut waiting: std::collections::VecDeque<_> = nested.into();
    while let Some((path, object)) = waiting.pop_front() {
        // A string takes whatever is written.
        write!(
            text,
            "\n<a id=\"nestedatt--{}\"></a>\n### Nested Schema for `{path}`\n",
            path.replace('.', "--")
        )
        .ok();
        let mut nested = Vec::new();
        groups(object, &path, "\n", &mut text, &mut nested);
        waiting.extend(nested);
    }
    text
}

/// One attribute as an item of a list. `path` is where it is, from the outside in.
pub(super) fn line(attribute: &Attribute, path: &str) -> String {
    let mut facts = vec![kind_name(&attribute.kind)];
    if attribute.is_sensitive {
        facts.push("Sensitive".into());
    }
    if attribute.is_write_only {
        facts.push(
            "[Write-only](https://developer.hashicorp.com/terraform/language/resources/ephemeral#write-only-arguments)"
                .into(),
        );
    }
    if attribute.deprecation.is_some() {
        facts.push("Deprecated".into());
    }
    let mut text = format!(
        "- `{}` ({}) {}",
        attribute.name,
        facts.join(", "),
        one_line(&attribute.description)
    );
    if !attribute.allowed.is_empty() {
        let allowed: Vec<String> = attribute.allowed.iter().map(|value| format!("`{value}`")).collect();
        write!(text, " One of: {}.", allowed.join(", ")).ok();
    }
    if let Some(default) = &attribute.default {
        write!(text, " Default: `{}`.", literal(default)).ok();
    }
    if attribute.forces_replacement {
        text.push_str(" A change makes a new object.");
    }
    if let Some(why) = &attribute.deprecation {
        write!(text, " {why}").ok();
    }
    if matches!(attribute.kind, Kind::Nested { .. }) {
        write!(
            text,
            " (see [below for nested schema](#nestedatt--{}))",
            path.replace('.', "--")
        )
        .ok();
    }
    text.push('\n');
    text
}

/// A description as the text of one line: paragraphs in a row.
pub(super) fn one_line(markdown: &str) -> String {
    markdown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name of a type in words.
pub(super) fn type_name(ty: &Type) -> String {
    match ty {
        Type::String => "String".into(),
        Type::Number => "Number".into(),
        Type::Bool => "Boolean".into(),
        Type::Dynamic => "Dynamic".into(),
        Type::List(element) => format!("List of {}", type_name(element)),
        Type::Set(element) => format!("Set of {}", type_name(element)),
        Type::Map(element) => format!("Map of {}", type_name(element)),
        Type::Object(_) => "Object".into(),
        Type::Tuple(_) => "Tuple".into(),
    }
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Value(ty) => type_name(ty),
        Kind::Nested { nesting, .. } => match nesting {
            Nesting::Single | Nesting::Group => "Attributes".into(),
            Nesting::List => "Attributes List".into(),
            Nesting::Set => "Attributes Set".into(),
            Nesting::Map => "Attributes Map".into(),
        },
    }
}

fn groups<'a>(
    object: &'a ObjectSchema,
    path: &str,
    heading: &str,
    text: &mut String,
    nested: &mut Vec<(String, &'a ObjectSchema)>,
) {
    let end = if path.is_empty() { "" } else { ":" };
    for (title, modes) in [
        ("Required", &[Mode::Required][..]),
        ("Optional", &[Mode::Optional, Mode::OptionalComputed]),
        ("Read-Only", &[Mode::Computed]),
    ] {
        let mut attributes: Vec<&Attribute> = object.attributes.iter().filter(|it| modes.contains(&it.mode)).collect();
        attributes.sort_by(|one, other| one.name.cmp(&other.name));
        if attributes.is_empty() {
            continue;
        }
        write!(text, "{heading}{title}{end}\n\n").ok();
        for attribute in attributes {
            let path = if path.is_empty() {
                attribute.name.clone()
            } else {
                format!("{path}.{}", attribute.name)
            };
            text.push_str(&line(attribute, &path));
            if let Kind::Nested { object, .. } = &attribute.kind {
                nested.push((path, object));
            }
        }
    }
}

/// A value as it is written in a configuration; members of an object that are null are left out.
fn literal(value: &Value) -> String {
    match value {
        Value::Null | Value::Unknown => "null".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        Value::Map(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members: Vec<String> = members
                .map(|(name, value)| format!("{name} = {}", quoted(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Dynamic(inner) => literal(&inner.1),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => literal(other),
    }
}
