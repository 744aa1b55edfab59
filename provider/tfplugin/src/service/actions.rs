// SPDX-License-Identifier: Apache-2.0
//! Actions: a stream of progress that ends with the outcome.

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::reply::{Reply, caught};
use super::{Service, decode, find, validated};
use crate::action::Progress;
use crate::provider::Provider;
use crate::{Result, engine, proto};

/// How many lines wait for Terraform to take them.
const MAX_WAITING_LINES: usize = 64;

type Events = BoxStream<'static, Result<proto::InvokeActionEvent, Status>>;

impl<P: Provider> Service<P> {
    pub(super) fn validate_action(
        &self,
        request: &proto::ValidateActionConfigRequest,
    ) -> Result<proto::ValidateActionConfigResponse> {
        let action = find(&self.catalog.actions, "action", &request.type_name)?;
        let definition = action.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let diagnostics = validated(&definition.schema.object, config, |config| action.validate(config));
        Ok(proto::ValidateActionConfigResponse {
            diagnostics: diagnostics.to_proto(),
        })
    }

    pub(super) async fn plan_action(&self, request: proto::PlanActionRequest) -> Result<proto::PlanActionResponse> {
        let action = find(&self.catalog.actions, "action", &request.action_type)?;
        let definition = action.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let config = engine::with_defaults(&definition.schema.object, config);
        let cx = self.call();
        let result = caught(action.plan(&cx, config)).await;
        let mut diagnostics = cx.diagnostics();
        diagnostics.absorb(result);
        Ok(proto::PlanActionResponse {
            diagnostics: diagnostics.to_proto(),
            deferred: None,
        })
    }

    pub(super) fn invoke(&self, request: &proto::InvokeActionRequest) -> Events {
        self.start_action(request)
            .unwrap_or_else(|diagnostics| stream::iter([Ok(proto::InvokeActionEvent::failed(&diagnostics))]).boxed())
    }

    fn start_action(&self, request: &proto::InvokeActionRequest) -> Result<Events> {
        let action = find(&self.catalog.actions, "action", &request.action_type)?;
        let definition = action.definition();
        let config = decode(&definition.ty, request.config.as_ref())?;
        let config = engine::with_defaults(&definition.schema.object, config);
        let cx = self.call();
        let (sender, receiver) = mpsc::channel(MAX_WAITING_LINES);
        let work = async move {
            let result = caught(action.invoke(&cx, config, Progress::new(sender))).await;
            let mut diagnostics = cx.diagnostics();
            diagnostics.absorb(result);
            diagnostics
        };
        let (finish, finished) = tokio::sync::oneshot::channel();
        let lines = ReceiverStream::new(receiver).map(|message| Ok(progress(message)));
        // The work runs while the lines are read, and ends with the stream; its outcome is the last event.
        let running = stream::once(async move {
            // The other end is dropped only together with this one.
            finish.send(work.await).ok();
        });
        let running = running.filter_map(|()| std::future::ready(None));
        let end = stream::once(finished)
            .filter_map(|outcome| std::future::ready(outcome.ok().map(|it| Ok(proto::InvokeActionEvent::failed(&it)))));
        Ok(stream::select(lines, running).chain(end).boxed())
    }
}

fn progress(message: String) -> proto::InvokeActionEvent {
    use proto::invoke_action_event::{Event, Progress};
    proto::InvokeActionEvent {
        event: Some(Event::Progress(Progress { message })),
    }
}
