// SPDX-License-Identifier: Apache-2.0
//! The services that go-plugin expects beside the provider's own.

use futures::stream::{self, BoxStream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::proto::plugin::{Empty, StdioData, grpc_controller_server::GrpcController, grpc_stdio_server::GrpcStdio};

/// Ends the process when Terraform asks.
#[derive(Debug)]
pub(super) struct Controller {
    stop: CancellationToken,
}

impl Controller {
    pub fn new(stop: &CancellationToken) -> Self {
        Self { stop: stop.clone() }
    }
}

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        // The server lets calls in flight, such as this one, finish.
        self.stop.cancel();
        Ok(Response::new(Empty {}))
    }
}

/// Would forward what the process prints. It prints nothing: the stream stays open and silent.
#[derive(Debug)]
pub(super) struct Stdio {
    stop: CancellationToken,
}

impl Stdio {
    pub fn new(stop: &CancellationToken) -> Self {
        Self { stop: stop.clone() }
    }
}

#[tonic::async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = BoxStream<'static, Result<StdioData, Status>>;

    async fn stream_stdio(&self, _: Request<Empty>) -> Result<Response<Self::StreamStdioStream>, Status> {
        let silence = stream::once(self.stop.clone().cancelled_owned()).filter_map(|()| std::future::ready(None));
        Ok(Response::new(silence.boxed()))
    }
}
