// SPDX-License-Identifier: Apache-2.0
//! Ephemeral resources.

use std::time::SystemTime;

use super::reply::caught;
use super::{Service, decode, encode, find, finished, validated};
use crate::provider::Provider;
use crate::{Result, engine, proto};

impl<P: Provider> Service<P> {
    pub(super) fn validate_ephemeral(
        &self,
        request: &proto::ValidateEphemeralResourceConfigRequest,
    ) -> Result<proto::ValidateEphemeralResourceConfigResponse> {
        let resource = find(
            &self.catalog.ephemeral_resources,
            "ephemeral resource",
            &request.type_name,
        )?;
        let definition = resource.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let diagnostics = validated(&definition.schema.object, config, |config| resource.validate(config));
        Ok(proto::ValidateEphemeralResourceConfigResponse {
            diagnostics: diagnostics.to_proto_in(&definition.schema.object),
        })
    }

    pub(super) async fn open_ephemeral(
        &self,
        request: proto::OpenEphemeralResourceRequest,
    ) -> Result<proto::OpenEphemeralResourceResponse> {
        let resource = find(
            &self.catalog.ephemeral_resources,
            "ephemeral resource",
            &request.type_name,
        )?;
        let definition = resource.definition();
        let object = &definition.schema.object;
        let config = decode(&definition.ty, request.config.as_ref())?;
        let config = engine::with_defaults(object, config);
        let cx = self.call();
        let result = caught(resource.open(&cx, config.clone())).await;
        let mut diagnostics = cx.diagnostics();
        let mut reply = proto::OpenEphemeralResourceResponse::default();
        if let Some(opened) = diagnostics.absorb(result) {
            let result = finished(object, &config, opened.result);
            diagnostics.extend(engine::check_known(&result));
            reply.result = Some(encode(&definition.ty, &result.unknown_to_null())?);
            reply.renew_at = opened.renew_at.map(timestamp);
            reply.private = Some(opened.private);
        }
        reply.diagnostics = diagnostics.to_proto_in(object);
        Ok(reply)
    }

    pub(super) async fn renew_ephemeral(
        &self,
        request: proto::RenewEphemeralResourceRequest,
    ) -> Result<proto::RenewEphemeralResourceResponse> {
        let resource = find(
            &self.catalog.ephemeral_resources,
            "ephemeral resource",
            &request.type_name,
        )?;
        let cx = self.call();
        let private = request.private.unwrap_or_default();
        let result = caught(resource.renew(&cx, private.clone())).await;
        let mut diagnostics = cx.diagnostics();
        let renewed = diagnostics.absorb(result).unwrap_or_default();
        Ok(proto::RenewEphemeralResourceResponse {
            diagnostics: diagnostics.to_proto(),
            renew_at: renewed.renew_at.map(timestamp),
            private: Some(renewed.private.unwrap_or(private)),
        })
    }

    pub(super) async fn close_ephemeral(
        &self,
        request: proto::CloseEphemeralResourceRequest,
    ) -> Result<proto::CloseEphemeralResourceResponse> {
        let resource = find(
            &self.catalog.ephemeral_resources,
            "ephemeral resource",
            &request.type_name,
        )?;
        let cx = self.call();
        let result = caught(resource.close(&cx, request.private.unwrap_or_default())).await;
        let mut diagnostics = cx.diagnostics();
        diagnostics.absorb(result);
        Ok(proto::CloseEphemeralResourceResponse {
            diagnostics: diagnostics.to_proto(),
        })
    }
}

fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(time)
}
