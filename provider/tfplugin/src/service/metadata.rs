// SPDX-License-Identifier: Apache-2.0
//! What the provider offers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Service;
use crate::description::Description;
use crate::provider::Provider;
use crate::{Diagnostic, Diagnostics, proto};

impl<P: Provider> Service<P> {
    pub(super) fn metadata(&self) -> proto::GetMetadataResponse {
        let catalog = &self.catalog;
        let functions = catalog.functions.keys().cloned();
        proto::GetMetadataResponse {
            server_capabilities: Some(capabilities()),
            diagnostics: Vec::new(),
            data_sources: type_names(&catalog.data_sources),
            resources: type_names(&catalog.resources),
            functions: functions
                .map(|name| proto::get_metadata_response::FunctionName { name })
                .collect(),
            ephemeral_resources: type_names(&catalog.ephemeral_resources),
            list_resources: type_names(&catalog.list_resources),
            actions: type_names(&catalog.actions),
        }
    }

    pub(super) fn schemas(&self) -> proto::GetProviderSchemaResponse {
        let catalog = &self.catalog;
        let problems = Description::of_catalog::<P>(catalog).problems();
        let diagnostics: Diagnostics = problems
            .into_iter()
            .map(|problem| {
                Diagnostic::error(
                    "Invalid provider schema",
                    format!("{problem}. This is a bug in the provider."),
                )
            })
            .collect();
        let actions = each(&catalog.actions, |action| proto::ActionSchema {
            schema: Some(action.definition().schema.to_proto()),
        });
        proto::GetProviderSchemaResponse {
            provider: Some(self.config.schema.to_proto()),
            resource_schemas: each(&catalog.resources, |resource| resource.definition().schema.to_proto()),
            data_source_schemas: each(&catalog.data_sources, |source| source.definition().schema.to_proto()),
            diagnostics: diagnostics.to_proto(),
            provider_meta: None,
            server_capabilities: Some(capabilities()),
            functions: each(&catalog.functions, |function| function.schema().to_proto()),
            ephemeral_resource_schemas: each(&catalog.ephemeral_resources, |it| it.definition().schema.to_proto()),
            list_resource_schemas: each(&catalog.list_resources, |list| list.definition().schema.to_proto()),
            action_schemas: actions,
        }
    }

    pub(super) fn identity_schemas(&self) -> proto::GetResourceIdentitySchemasResponse {
        let schemas = self.catalog.resources.iter().filter_map(|(name, resource)| {
            let identity = resource.definition().identity.as_ref()?;
            Some((name.clone(), identity.object.to_identity_proto(identity.version)))
        });
        proto::GetResourceIdentitySchemasResponse {
            identity_schemas: schemas.collect(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn functions(&self) -> proto::GetFunctionsResponse {
        let functions = each(&self.catalog.functions, |function| function.schema().to_proto());
        proto::GetFunctionsResponse {
            functions,
            diagnostics: Vec::new(),
        }
    }
}

/// The schema never changes while the process runs, so Terraform may reuse the one that it has.
fn capabilities() -> proto::ServerCapabilities {
    proto::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: true,
    }
}

fn type_names<A: ?Sized>(members: &BTreeMap<String, Arc<A>>) -> Vec<proto::get_metadata_response::TypeName> {
    members
        .keys()
        .cloned()
        .map(|type_name| proto::get_metadata_response::TypeName { type_name })
        .collect()
}

fn each<A: ?Sized, S>(members: &BTreeMap<String, Arc<A>>, schema: impl Fn(&A) -> S) -> BTreeMap<String, S> {
    members
        .iter()
        .map(|(name, member)| (name.clone(), schema(member)))
        .collect()
}
