// SPDX-License-Identifier: Apache-2.0
//! A provider's schemas as plain data, for documentation and tests.

use std::collections::BTreeMap;

use crate::data_source::Definition;
use crate::provider::{Catalog, Provider};
use crate::schema::{FunctionSchema, ObjectSchema, Schema, Surface, check_function, check_identity, check_object};

/// Everything that a provider offers, by full name.
#[derive(Clone, Debug)]
pub struct Description {
    /// The name of the provider block.
    pub name: String,
    /// The provider block.
    pub provider: Schema,
    /// Managed resources.
    pub resources: BTreeMap<String, ResourceDescription>,
    /// Data sources.
    pub data_sources: BTreeMap<String, Schema>,
    /// Ephemeral resources.
    pub ephemeral_resources: BTreeMap<String, Schema>,
    /// Functions.
    pub functions: BTreeMap<String, FunctionSchema>,
    /// List resources, by the name of the resource that they list.
    pub list_resources: BTreeMap<String, Schema>,
    /// Actions.
    pub actions: BTreeMap<String, Schema>,
    duplicates: Vec<String>,
}

/// A managed resource.
#[derive(Clone, Debug)]
pub struct ResourceDescription {
    /// Arguments and attributes.
    pub schema: Schema,
    /// What names an object for good, if there is such a thing.
    pub identity: Option<ObjectSchema>,
}

impl Description {
    /// Describes a provider.
    #[must_use]
    pub fn of<P: Provider>(provider: &P) -> Self {
        Self::of_catalog::<P>(&provider.contents().into_catalog(P::NAME))
    }

    pub(crate) fn of_catalog<P: Provider>(catalog: &Catalog<P::Client>) -> Self {
        let resources = catalog.resources.iter().map(|(name, resource)| {
            let definition = resource.definition();
            let identity = definition.identity.as_ref().map(|identity| identity.object.clone());
            (
                name.clone(),
                ResourceDescription {
                    schema: definition.schema.clone(),
                    identity,
                },
            )
        });
        Self {
            name: P::NAME.to_owned(),
            provider: Definition::of_config::<P::Config>().schema,
            resources: resources.collect(),
            data_sources: schemas(&catalog.data_sources, |source| source.definition().schema.clone()),
            ephemeral_resources: schemas(&catalog.ephemeral_resources, |resource| {
                resource.definition().schema.clone()
            }),
            functions: schemas(&catalog.functions, |function| function.schema().clone()),
            list_resources: schemas(&catalog.list_resources, |list| list.definition().schema.clone()),
            actions: schemas(&catalog.actions, |action| action.definition().schema.clone()),
            duplicates: catalog.duplicates.clone(),
        }
    }

    /// What breaks the rules that Terraform checks when it loads the provider. A unit test should find this empty.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .duplicates
            .iter()
            .map(|name| format!("`{name}` is offered twice"))
            .collect();
        if !crate::schema::is_name(&self.name) {
            problems.push(format!("`{}` is not a valid name", self.name));
        }
        let mut add = |owner: &str, found: Vec<String>| {
            problems.extend(found.into_iter().map(|problem| format!("{owner}: {problem}")));
        };
        for (kind, surface, name, schema) in self.surfaces() {
            let owner = format!("{kind} `{name}`");
            let mut found = check_object(surface, &schema.object);
            if !crate::schema::is_name(name) {
                found.push("not a valid name".to_owned());
            }
            add(&owner, found);
        }
        for (name, resource) in &self.resources {
            if let Some(identity) = &resource.identity {
                add(&format!("identity of `{name}`"), check_identity(identity));
            }
        }
        for (name, function) in &self.functions {
            add(&format!("function `{name}`"), check_function(name, function));
        }
        for name in self.list_resources.keys() {
            if self
                .resources
                .get(name)
                .is_none_or(|resource| resource.identity.is_none())
            {
                add(
                    &format!("list resource `{name}`"),
                    vec!["lists no managed resource with an identity".to_owned()],
                );
            }
        }
        problems
    }

    /// What has no description: types, and attributes and parameters as `type.path`. A unit test should find this empty.
    #[must_use]
    pub fn undocumented(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (_, _, owner, schema) in self.surfaces() {
            if schema.description.is_empty() {
                names.push(owner.to_owned());
            }
            names.extend(
                schema
                    .object
                    .undocumented()
                    .iter()
                    .map(|path| format!("{owner}.{path}")),
            );
        }
        for (owner, resource) in &self.resources {
            let identity = resource.identity.iter().flat_map(ObjectSchema::undocumented);
            names.extend(identity.map(|path| format!("{owner} identity.{path}")));
        }
        for (owner, function) in &self.functions {
            if function.summary.is_empty() {
                names.push(owner.clone());
            }
            let bare = function
                .parameters
                .iter()
                .chain(&function.variadic)
                .filter(|it| it.description.is_empty());
            names.extend(bare.map(|parameter| format!("{owner}({})", parameter.name)));
        }
        names
    }

    /// Every configured object: what it is, its rules, its name and its schema.
    fn surfaces(&self) -> impl Iterator<Item = (&'static str, Surface, &str, &Schema)> {
        let provider = std::iter::once(("provider", Surface::Provider, self.name.as_str(), &self.provider));
        let resources = self
            .resources
            .iter()
            .map(|(name, resource)| ("resource", Surface::Managed, name.as_str(), &resource.schema));
        provider
            .chain(resources)
            .chain(of_kind("data source", Surface::Data, &self.data_sources))
            .chain(of_kind(
                "ephemeral resource",
                Surface::Ephemeral,
                &self.ephemeral_resources,
            ))
            .chain(of_kind("list resource", Surface::List, &self.list_resources))
            .chain(of_kind("action", Surface::Action, &self.actions))
    }
}

fn of_kind<'a>(
    kind: &'static str,
    surface: Surface,
    schemas: &'a BTreeMap<String, Schema>,
) -> impl Iterator<Item = (&'static str, Surface, &'a str, &'a Schema)> {
    schemas
        .iter()
        .map(move |(name, schema)| (kind, surface, name.as_str(), schema))
}

fn schemas<A: ?Sized, S>(
    members: &BTreeMap<String, std::sync::Arc<A>>,
    schema: impl Fn(&A) -> S,
) -> BTreeMap<String, S> {
    members
        .iter()
        .map(|(name, member)| (name.clone(), schema(member)))
        .collect()
}
