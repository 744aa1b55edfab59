// SPDX-License-Identifier: Apache-2.0
//! Data sources.

use super::reply::caught;
use super::{Service, decode, encode, find, finished, validated};
use crate::provider::Provider;
use crate::{Result, engine, proto};

impl<P: Provider> Service<P> {
    pub(super) fn validate_data(
        &self,
        request: &proto::ValidateDataResourceConfigRequest,
    ) -> Result<proto::ValidateDataResourceConfigResponse> {
        let source = find(&self.catalog.data_sources, "data source", &request.type_name)?;
        let definition = source.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let diagnostics = validated(&definition.schema.object, config, |config| source.validate(config));
        Ok(proto::ValidateDataResourceConfigResponse {
            diagnostics: diagnostics.to_proto_in(&definition.schema.object),
        })
    }

    pub(super) async fn read_data(
        &self,
        request: proto::ReadDataSourceRequest,
    ) -> Result<proto::ReadDataSourceResponse> {
        let source = find(&self.catalog.data_sources, "data source", &request.type_name)?;
        let definition = source.definition();
        let object = &definition.schema.object;
        let config = decode(&definition.ty, request.config.as_ref())?;
        let config = engine::with_defaults(object, config);
        let cx = self.call();
        let result = caught(source.read(&cx, config.clone())).await;
        let mut diagnostics = cx.diagnostics();
        let mut state = None;
        if let Some(found) = diagnostics.absorb(result) {
            let found = finished(object, &config, found);
            diagnostics.extend(engine::check_known(&found));
            state = Some(encode(&definition.ty, &found.unknown_to_null())?);
        }
        Ok(proto::ReadDataSourceResponse {
            state,
            diagnostics: diagnostics.to_proto_in(object),
            deferred: None,
        })
    }
}
