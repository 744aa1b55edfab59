// SPDX-License-Identifier: Apache-2.0
//! List resources: a stream of objects.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::reply::{Reply, caught};
use super::{Service, decode, encode, find, finished, validated};
use crate::list::{Found, ListSink};
use crate::provider::Provider;
use crate::resource::AnyResource;
use crate::{Diagnostics, Result, Value, engine, proto};

/// How many objects wait for Terraform to take them.
const MAX_WAITING_OBJECTS: usize = 64;

type Events = BoxStream<'static, Result<proto::ListResourceEvent, Status>>;

impl<P: Provider> Service<P> {
    pub(super) fn validate_list(
        &self,
        request: &proto::ValidateListResourceConfigRequest,
    ) -> Result<proto::ValidateListResourceConfigResponse> {
        let list = find(&self.catalog.list_resources, "list resource", &request.type_name)?;
        let definition = list.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let diagnostics = validated(&definition.schema.object, config, |config| list.validate(config));
        Ok(proto::ValidateListResourceConfigResponse {
            diagnostics: diagnostics.to_proto(),
        })
    }

    pub(super) fn list(&self, request: &proto::ListResourceRequest) -> Events {
        self.start_list(request)
            .unwrap_or_else(|diagnostics| stream::iter([Ok(proto::ListResourceEvent::failed(&diagnostics))]).boxed())
    }

    fn start_list(&self, request: &proto::ListResourceRequest) -> Result<Events> {
        let list = find(&self.catalog.list_resources, "list resource", &request.type_name)?;
        let resource = find(&self.catalog.resources, "resource", &request.type_name)?;
        let definition = list.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let config = engine::with_defaults(&definition.schema.object, config);
        let cx = self.call();
        let (sender, receiver) = mpsc::channel(MAX_WAITING_OBJECTS);
        let remaining = u64::try_from(request.limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(u64::MAX);
        let sink = ListSink {
            sender,
            wants_object: request.include_resource_object,
            remaining,
        };
        let work = async move {
            let result = caught(list.list(&cx, config, sink)).await;
            let mut diagnostics = cx.diagnostics();
            diagnostics.absorb(result);
            diagnostics
        };
        let objects = ReceiverStream::new(receiver).map(move |found| Ok(event(&resource, found)));
        // The work runs while the stream is read, and ends with it.
        let end = stream::once(work).filter_map(|diagnostics: Diagnostics| async move {
            (!diagnostics.is_empty()).then(|| Ok(proto::ListResourceEvent::failed(&diagnostics)))
        });
        Ok(stream::select(objects, end).boxed())
    }
}

fn event<C>(resource: &Arc<dyn AnyResource<C>>, found: Found) -> proto::ListResourceEvent {
    try_event(resource.as_ref(), found).unwrap_or_else(|diagnostics| proto::ListResourceEvent::failed(&diagnostics))
}

fn try_event<C>(resource: &dyn AnyResource<C>, found: Found) -> Result<proto::ListResourceEvent> {
    let definition = resource.definition();
    let identity = match &definition.identity {
        Some(identity) => Some(proto::IdentityData {
            identity_data: Some(encode(&identity.ty, &found.identity)?),
        }),
        None => None,
    };
    let object = match found.object {
        Some(object) => {
            let object = finished(&definition.schema.object, &Value::Null, object).unknown_to_null();
            Some(encode(&definition.ty, &object)?)
        }
        None => None,
    };
    Ok(proto::ListResourceEvent {
        identity,
        display_name: found.display_name,
        resource_object: object,
        diagnostics: Vec::new(),
    })
}
