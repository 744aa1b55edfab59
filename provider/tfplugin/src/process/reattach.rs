// SPDX-License-Identifier: Apache-2.0
//! Serving a Terraform that somebody else starts: in tests, and under a debugger.

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};

use super::socket::SocketFolder;
use super::{ServeError, announce, cancel_on, host};
use crate::provider::Provider;
use crate::service::Service;

/// A provider that serves inside this process. Stops when dropped.
#[derive(Debug)]
pub struct Served {
    reattach: String,
    folder: SocketFolder,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), ServeError>>,
}

/// Serves a provider inside this process, without TLS, for tests.
///
/// Needs a multi-threaded runtime if the test blocks on the Terraform program.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve_in_process<P: Provider>(provider: P, address: &str) -> Result<Served, ServeError> {
    let folder = SocketFolder::create(None).map_err(ServeError::Listen)?;
    let listener = folder.listen().map_err(ServeError::Listen)?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(host(Service::new(provider), listener, None, stop.clone()));
    let reattach = json!({
        address: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": std::process::id(),
            // Terraform neither kills the process nor calls Shutdown.
            "Test": true,
            "Addr": { "Network": "unix", "String": folder.socket() },
        }
    });
    Ok(Served {
        reattach: reattach.to_string(),
        folder,
        stop,
        tasks,
    })
}

impl Served {
    /// The value of `TF_REATTACH_PROVIDERS` with which Terraform finds the provider.
    #[must_use]
    pub fn reattach(&self) -> &str {
        &self.reattach
    }

    /// A connection for the client in [`proto`](crate::proto).
    ///
    /// # Errors
    /// When the provider has stopped.
    pub async fn channel(&self) -> Result<Channel, ServeError> {
        let socket = self.folder.socket();
        // The name is not used: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://localhost");
        Ok(endpoint
            .connect_with_connector(tower::service_fn(move |_: Uri| connect(socket.clone())))
            .await?)
    }

    /// Stops serving and waits for calls in flight.
    ///
    /// # Errors
    /// When the server had failed.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.stop.cancel();
        match self.tasks.join_next().await {
            Some(Ok(result)) => result,
            // A panic of the server itself was reported when it happened.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

async fn connect(socket: PathBuf) -> std::io::Result<TokioIo<UnixStream>> {
    UnixStream::connect(socket).await.map(TokioIo::new)
}

/// Serves until interrupted, and says how Terraform finds the provider.
pub(super) async fn debug<P: Provider>(provider: P, address: &str) -> Result<(), ServeError> {
    let interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Listen)?;
    let terminate = signal(SignalKind::terminate()).map_err(ServeError::Listen)?;
    let served = serve_in_process(provider, address).await?;
    announce(&format!("TF_REATTACH_PROVIDERS='{}'", served.reattach())).map_err(ServeError::Listen)?;
    let stop = served.stop.clone();
    tokio::join!(cancel_on(interrupt, &stop), cancel_on(terminate, &stop));
    served.stop().await
}
