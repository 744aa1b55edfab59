// SPDX-License-Identifier: Apache-2.0
//! Managed resources outside of changes: validate, upgrade, read, import, move, generate.

use super::reply::caught;
use super::{Service, decode, encode, find, finished, parse_json, stored_json, validated};
use crate::provider::Provider;
use crate::resource::{AnyResource, Import, MoveSource, ResourceDefinition};
use crate::{Diagnostic, Diagnostics, Result, Value, engine, proto, value};

impl<P: Provider> Service<P> {
    pub(super) fn validate_resource(
        &self,
        request: &proto::ValidateResourceConfigRequest,
    ) -> Result<proto::ValidateResourceConfigResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let can_write_only = request
            .client_capabilities
            .unwrap_or_default()
            .write_only_attributes_allowed;
        let write_only = if can_write_only {
            Vec::new()
        } else {
            engine::write_only_paths(&definition.schema.object, &config)
        };
        let mut diagnostics = validated(&definition.schema.object, config, |config| resource.validate(config));
        for path in write_only {
            let detail = format!("`{path}` is a write-only argument, which needs Terraform 1.11 or later.");
            diagnostics.push(Diagnostic::error("Terraform is too old", detail).at(path));
        }
        Ok(proto::ValidateResourceConfigResponse {
            diagnostics: diagnostics.to_proto_in(&definition.schema.object),
        })
    }

    pub(super) fn upgrade_state(
        &self,
        request: proto::UpgradeResourceStateRequest,
    ) -> Result<proto::UpgradeResourceStateResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let mut json = stored_json(request.raw_state)?;
        let present = definition.schema.version;
        if request.version > present {
            return Err(newer("state", request.version, present));
        }
        if request.version < present {
            json = resource
                .upgrade(request.version, parse_json(&json)?)?
                .to_string()
                .into_bytes();
        }
        let state = value::decode_json(&definition.ty, &json)
            .map_err(|error| Diagnostics::error("Cannot read the state", error.to_string()))?;
        let state = recorded(definition, state);
        let upgraded_state = Some(encode(&definition.ty, &state)?);
        Ok(proto::UpgradeResourceStateResponse {
            upgraded_state,
            diagnostics: Vec::new(),
        })
    }

    pub(super) fn upgrade_identity(
        &self,
        request: proto::UpgradeResourceIdentityRequest,
    ) -> Result<proto::UpgradeResourceIdentityResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let Some(identity) = &resource.definition().identity else {
            return Err(no_identity(&request.type_name));
        };
        let mut json = stored_json(request.raw_identity)?;
        if request.version > identity.version {
            return Err(newer("identity", request.version, identity.version));
        }
        if request.version < identity.version {
            json = resource
                .upgrade_identity(request.version, parse_json(&json)?)?
                .to_string()
                .into_bytes();
        }
        let data = value::decode_json(&identity.ty, &json)
            .map_err(|error| Diagnostics::error("Cannot read the identity", error.to_string()))?;
        let upgraded_identity = Some(proto::IdentityData {
            identity_data: Some(encode(&identity.ty, &data)?),
        });
        Ok(proto::UpgradeResourceIdentityResponse {
            upgraded_identity,
            diagnostics: Vec::new(),
        })
    }

    pub(super) async fn read_resource(
        &self,
        request: proto::ReadResourceRequest,
    ) -> Result<proto::ReadResourceResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let cx = self.call().with_private(request.private.clone());
        if cx.client_if_configured().is_none() {
            // The provider cannot talk yet: what is recorded stays.
            return Ok(proto::ReadResourceResponse {
                new_state: request.current_state,
                private: request.private,
                new_identity: request.current_identity,
                ..Default::default()
            });
        }
        let state = decode(&definition.ty, request.current_state.as_ref())?;
        let result = caught(resource.read(&cx, state.clone())).await;
        let mut diagnostics = cx.diagnostics();
        let new = match diagnostics.absorb(result) {
            Some(Some(new)) => finished(&definition.schema.object, &state, new),
            Some(None) => Value::Null,
            None => state,
        };
        diagnostics.extend(engine::check_known(&new));
        let new = new.unknown_to_null();
        let new_identity = identity_of(resource.as_ref(), &new)?.or(request.current_identity);
        Ok(proto::ReadResourceResponse {
            new_state: Some(encode(&definition.ty, &new)?),
            diagnostics: diagnostics.to_proto(),
            private: cx.private(),
            deferred: None,
            new_identity,
        })
    }

    pub(super) async fn import(
        &self,
        request: proto::ImportResourceStateRequest,
    ) -> Result<proto::ImportResourceStateResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let wanted = match (&request.identity, &definition.identity) {
            _ if !request.id.is_empty() => Import::Id(request.id),
            (Some(data), Some(identity)) => Import::Identity(decode(&identity.ty, data.identity_data.as_ref())?),
            _ => return Err(no_identity(&request.type_name)),
        };
        let cx = self.call();
        let result = caught(resource.import(&cx, wanted)).await;
        let mut diagnostics = cx.diagnostics();
        let mut imported_resources = Vec::new();
        if let Some(found) = diagnostics.absorb(result) {
            let state = recorded(definition, engine::with_defaults(&definition.schema.object, found));
            imported_resources.push(proto::import_resource_state_response::ImportedResource {
                type_name: request.type_name,
                state: Some(encode(&definition.ty, &state)?),
                private: cx.private(),
                identity: identity_of(resource.as_ref(), &state)?,
            });
        }
        let diagnostics = diagnostics.to_proto();
        Ok(proto::ImportResourceStateResponse {
            imported_resources,
            diagnostics,
            deferred: None,
        })
    }

    pub(super) async fn move_state(
        &self,
        request: proto::MoveResourceStateRequest,
    ) -> Result<proto::MoveResourceStateResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.target_type_name)?;
        let definition = resource.definition();
        let source = MoveSource {
            provider_address: request.source_provider_address,
            type_name: request.source_type_name,
            schema_version: request.source_schema_version,
            state: parse_json(&stored_json(request.source_state)?)?,
            private: request.source_private,
        };
        let refusal = format!(
            "`{}` cannot take over a `{}` of `{}`.",
            request.target_type_name, source.type_name, source.provider_address
        );
        let cx = self.call();
        let result = caught(resource.move_from(&cx, source)).await;
        let mut diagnostics = cx.diagnostics();
        let mut reply = proto::MoveResourceStateResponse::default();
        match diagnostics.absorb(result) {
            Some(Some(state)) => {
                let state = recorded(definition, engine::with_defaults(&definition.schema.object, state));
                reply.target_state = Some(encode(&definition.ty, &state)?);
                reply.target_identity = identity_of(resource.as_ref(), &state)?;
                reply.target_private = cx.private();
            }
            Some(None) => diagnostics.push(Diagnostic::error("Cannot move", refusal)),
            None => {}
        }
        reply.diagnostics = diagnostics.to_proto();
        Ok(reply)
    }

    pub(super) fn generate_config(
        &self,
        request: &proto::GenerateResourceConfigRequest,
    ) -> Result<proto::GenerateResourceConfigResponse> {
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = resource.definition();
        let state = decode(&definition.ty, request.state.as_ref())?;
        let config = engine::generated_config(&definition.schema.object, state);
        let config = Some(encode(&definition.ty, &config)?);
        Ok(proto::GenerateResourceConfigResponse {
            config,
            diagnostics: Vec::new(),
        })
    }
}

/// A state that may still have gaps, as it is recorded: what the next read has to fill in is null.
fn recorded(definition: &ResourceDefinition, state: Value) -> Value {
    let object = &definition.schema.object;
    engine::without_write_only(object, engine::complete(object, state)).unknown_to_null()
}

/// The identity of the object with this state, if it has one.
pub(super) fn identity_of<C>(resource: &dyn AnyResource<C>, state: &Value) -> Result<Option<proto::IdentityData>> {
    let Some(definition) = resource.definition().identity.as_ref().filter(|_| !state.is_null()) else {
        return Ok(None);
    };
    match resource.identity(state.clone()) {
        Some(identity) => Ok(Some(proto::IdentityData {
            identity_data: Some(encode(&definition.ty, &identity)?),
        })),
        None => Ok(None),
    }
}

fn no_identity(type_name: &str) -> Diagnostics {
    Diagnostics::error("No identity", format!("`{type_name}` has no identity to be named by."))
}

fn newer(what: &str, version: i64, present: i64) -> Diagnostics {
    Diagnostics::error(
        "Provider is too old",
        format!(
            "The {what} has version {version}, but this provider only knows versions up to {present}. Use a newer provider."
        ),
    )
}
