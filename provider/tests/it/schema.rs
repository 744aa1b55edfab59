// SPDX-License-Identifier: Apache-2.0
//! The schemas: Terraform's rules, descriptions, and no change by accident.

use std::fmt::Write as _;

use hythe_client::Environment;
use hythe_provider::HytheProvider;
use tfplugin::Description;
use tfplugin::schema::{Kind, ObjectSchema};

pub fn description() -> Description {
    let nothing: [(&str, &str); 0] = [];
    Description::of(&HytheProvider::new(Environment::new(nothing, "/".into())))
}

#[test]
fn the_schemas_keep_the_rules_that_terraform_checks() {
    assert_eq!(description().problems(), Vec::<String>::new());
}

#[test]
fn everything_has_a_description() {
    assert_eq!(description().undocumented(), Vec::<String>::new());
}

/// A removed or renamed attribute, a stricter mode or a changed default is a new major version.
#[test]
fn the_schemas_are_those_that_users_have() {
    let description = description();
    let mut text = String::new();
    object(&mut text, "provider", 0, &description.provider.object);
    for (name, resource) in &description.resources {
        object(
            &mut text,
            &format!("resource {name}"),
            resource.schema.version,
            &resource.schema.object,
        );
        if let Some(identity) = &resource.identity {
            object(&mut text, &format!("identity {name}"), 0, identity);
        }
    }
    for (kind, schemas) in [
        ("data", &description.data_sources),
        ("ephemeral", &description.ephemeral_resources),
        ("list", &description.list_resources),
    ] {
        for (name, schema) in schemas {
            object(&mut text, &format!("{kind} {name}"), schema.version, &schema.object);
        }
    }
    for (name, function) in &description.functions {
        writeln!(text, "function {}", function.signature(name)).unwrap();
    }
    insta::assert_snapshot!(text);
}

fn object(text: &mut String, title: &str, version: i64, object: &ObjectSchema) {
    writeln!(text, "{title} v{version}").unwrap();
    members(text, 1, object);
}

fn members(text: &mut String, depth: usize, object: &ObjectSchema) {
    for attribute in &object.attributes {
        let flags = [
            (attribute.is_sensitive, "sensitive"),
            (attribute.is_write_only, "write-only"),
            (attribute.forces_replacement, "replace"),
            (attribute.is_stable, "stable"),
        ];
        let flags: Vec<&str> = flags
            .iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, name)| *name)
            .collect();
        let flags = flags.iter().fold(String::new(), |text, flag| text + " " + flag);
        let default = attribute
            .default
            .as_ref()
            .map(|value| format!(" default {value:?}"))
            .unwrap_or_default();
        let ty = match &attribute.kind {
            Kind::Value(ty) => ty.to_string(),
            Kind::Nested { nesting, .. } => format!("nested {nesting:?}"),
        };
        writeln!(
            text,
            "{}{}: {ty} {:?}{flags}{default}",
            "  ".repeat(depth),
            attribute.name,
            attribute.mode
        )
        .unwrap();
        if let Kind::Nested { object, .. } = &attribute.kind {
            members(text, depth + 1, object);
        }
    }
}
