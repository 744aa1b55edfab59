// SPDX-License-Identifier: Apache-2.0
//! The provider as a process: start, handshake, serving, end.
//!
//! Terraform starts the program, reads one line from its standard output, and
//! then talks gRPC over a unix socket that only the two of them can use: the
//! socket lies in a folder of mode 0700, and both sides prove to have the key of
//! a certificate that the other side knows byte for byte.

mod connection;
mod environment;
mod plugin;
mod reattach;
mod socket;
mod tls;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use environment::Environment;
pub use reattach::{Served, serve_in_process};
use socket::SocketFolder;

use crate::logging;
use crate::proto::{MAX_MESSAGE_BYTES, plugin as plugin_proto, provider_server::ProviderServer};
use crate::provider::Provider;
use crate::service::Service;

/// How long open calls may go on after the end was asked for. Terraform kills the process after 2 seconds.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(1_500);
/// How often to look whether Terraform is still there.
const PARENT_CHECK: Duration = Duration::from_secs(2);

/// Why the process could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody started the program by hand.
    #[error(
        "this program is a Terraform provider. Terraform starts it by itself; \
         to attach a debugger, start it with --debug"
    )]
    NotAPlugin,
    /// Terraform does not speak protocol 6.
    #[error("this provider speaks plugin protocol 6, which needs Terraform 1.0 or later")]
    Protocol,
    /// The socket cannot be made.
    #[error("cannot listen on a unix socket")]
    Listen(#[source] std::io::Error),
    /// The certificates cannot be made or read.
    #[error("cannot set up mutual TLS: {0}")]
    Tls(String),
    /// The server stopped.
    #[error("the gRPC server failed")]
    Server(#[from] tonic::transport::Error),
}

/// Runs a provider program: the whole of `main`.
///
/// `address` is the source address, such as `registry.terraform.io/acme/acme`. With the argument `--debug` the
/// provider serves until it is interrupted, and prints the variable with which Terraform finds it.
pub fn serve<P: Provider>(provider: P, address: &str) -> ExitCode {
    let is_debug = std::env::args()
        .skip(1)
        .any(|argument| argument == "--debug" || argument == "-debug");
    let environment = Environment::read();
    logging::install(environment.log_level);
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(async {
                if is_debug {
                    reattach::debug(provider, address).await
                } else {
                    run(provider, environment).await
                }
            });
            // Terraform waits for the end of the process, not for work that nobody asks for any more.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(ServeError::Listen(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            // Nothing is left to do when standard error is closed.
            writeln!(std::io::stderr(), "{error}{cause}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run<P: Provider>(provider: P, environment: Environment) -> Result<(), ServeError> {
    environment.check()?;
    // From here on Ctrl-C, which the whole process group receives, must not end the process: Terraform calls
    // StopProvider instead, and waits for the calls in flight.
    let interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Listen)?;
    let terminate = signal(SignalKind::terminate()).map_err(ServeError::Listen)?;
    let (acceptor, certificate) = match &environment.client_certificate {
        Some(pem) => {
            let (acceptor, certificate) = tls::acceptor(pem)?;
            (Some(acceptor), STANDARD_NO_PAD.encode(certificate))
        }
        None => (None, String::new()),
    };
    let folder = SocketFolder::create(environment.socket_folder.as_deref()).map_err(ServeError::Listen)?;
    let listener = folder.listen().map_err(ServeError::Listen)?;

    let mut line = format!("1|6|unix|{}|grpc|{certificate}", folder.socket().display());
    if environment.is_multiplex_asked {
        line.push_str("|false");
    }
    announce(&line).map_err(ServeError::Listen)?;

    let stop = CancellationToken::new();
    let guards = async {
        tokio::join!(
            ignore(interrupt, &stop),
            cancel_on(terminate, &stop),
            watch_parent(environment.parent, &stop),
        )
    };
    let served = tokio::join!(host(Service::new(provider), listener, acceptor, stop.clone()), guards).0;
    // Dropping the folder removes the socket.
    drop(folder);
    served
}

/// Writes one line to standard output, which is how the other side learns the address.
fn announce(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Serves until `stop`, and then no longer than the grace period.
async fn host<P: Provider>(
    service: Service<P>,
    listener: UnixListener,
    acceptor: Option<TlsAcceptor>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    // Whatever ends the server also ends those who wait for the token.
    let _guard = stop.clone().drop_guard();
    let (connections, accepting) = connection::accept(listener, acceptor, stop.clone());
    let provider = ProviderServer::from_arc(Arc::new(service))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let controller = plugin_proto::grpc_controller_server::GrpcControllerServer::new(plugin::Controller::new(&stop));
    let stdio = plugin_proto::grpc_stdio_server::GrpcStdioServer::new(plugin::Stdio::new(&stop));
    let server = tonic::transport::Server::builder()
        .add_service(provider)
        .add_service(controller)
        .add_service(stdio)
        .serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    let server = async {
        let outcome = server.await;
        stop.cancel();
        outcome
    };
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        (outcome, ()) = async { tokio::join!(server, accepting) } => Ok(outcome?),
        () = too_late => Ok(()),
    }
}

async fn ignore(mut signal: Signal, stop: &CancellationToken) {
    while let Some(Some(())) = stop.run_until_cancelled(signal.recv()).await {
        tracing::debug!("interrupt left to Terraform");
    }
}

async fn cancel_on(mut signal: Signal, stop: &CancellationToken) {
    if stop.run_until_cancelled(signal.recv()).await.is_some() {
        stop.cancel();
    }
}

/// Stops when Terraform is gone without saying so: then the process has another parent.
async fn watch_parent(parent: u32, stop: &CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(PARENT_CHECK))
        .await
        .is_some()
    {
        if std::os::unix::process::parent_id() != parent {
            tracing::warn!("Terraform is gone");
            stop.cancel();
        }
    }
}
