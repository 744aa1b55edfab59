// SPDX-License-Identifier: Apache-2.0
//! The provider as a program: the real handshake, signals, and the end.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P521_SHA512};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tfplugin::proto;
use tfplugin::proto::plugin::{
    Empty, grpc_controller_client::GrpcControllerClient, grpc_stdio_client::GrpcStdioClient,
};
use tfplugin::proto::provider_client::ProviderClient;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::support::{Workspace, outcome, program};

const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn left_behind(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("tfp"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn terraform_starts_the_program_and_trusts_it() {
    let Some(workspace) = Workspace::with_program() else {
        return;
    };
    workspace.write("resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n}\n");
    workspace.apply_and_settle().await;
    let logged = workspace
        .command(&["plan"])
        .env("TF_LOG_PROVIDER", "DEBUG")
        .output()
        .unwrap();
    let logged = outcome(logged);
    assert!(!logged.text.contains("plaintext"), "{}", logged.text);
    workspace.destroy().await;
    assert_eq!(left_behind(&workspace.temporary()), [""; 0].map(PathBuf::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_during_a_create_leaves_a_recorded_object() {
    let Some(workspace) = Workspace::with_program() else {
        return;
    };
    workspace.write("resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n  mischief = \"slow\"\n}\n");
    let mut command = workspace.command(&["apply", "-auto-approve"]);
    // A group of its own, so that the signal reaches Terraform and the provider as Ctrl-C does, and not this test.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("the create has begun", || {
        workspace.journal().contains("creating slowly")
    });
    let interrupted = Command::new("kill")
        .args(["-INT", "--", &format!("-{}", child.id())])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let start = Instant::now();
    let result = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    let result = outcome(result);
    assert!(start.elapsed() < PATIENCE, "{}", result.text);
    result.assert_fails_with("The operation was interrupted before it was complete.");
    assert!(
        !result.text.contains("did not respond"),
        "the provider died: {}",
        result.text
    );
    let instance = workspace.instance("shelf_book.a").expect("the object is recorded");
    assert_eq!(instance["status"], "tainted");
    workspace.destroy().await;
    assert!(workspace.book("1").is_none());
    assert_eq!(left_behind(&workspace.temporary()), [""; 0].map(PathBuf::from));
}

/// A throw-away certificate like Terraform's: P-521, marked as an authority.
struct Identity {
    pem: String,
    der: CertificateDer<'static>,
    key: Vec<u8>,
}

fn identity() -> Identity {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).unwrap();
    Identity {
        pem: certificate.pem(),
        der: certificate.der().clone(),
        key: key.serialize_der(),
    }
}

/// A provider program that this test plays Terraform for. Killed when dropped.
struct Started {
    child: Child,
    line: String,
    folder: tempfile::TempDir,
}

impl Started {
    fn new(settings: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program());
        command
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6");
        command.env("TMPDIR", folder.path()).stdout(Stdio::piped());
        settings(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            line: line.trim_end().to_owned(),
            folder,
        }
    }

    fn fields(&self) -> Vec<&str> {
        self.line.split('|').collect()
    }

    fn socket(&self) -> PathBuf {
        PathBuf::from(self.fields()[3])
    }

    /// Connects as Terraform does, with the identity given.
    async fn connect(&self, identity: Option<&Identity>) -> Result<Channel, tonic::transport::Error> {
        let server = CertificateDer::from(STANDARD_NO_PAD.decode(self.fields()[5]).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(server).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let keys = provider.key_provider;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(it) => {
                // Not checked here: certificate and key may belong to different owners.
                let key = keys
                    .load_private_key(PrivatePkcs8KeyDer::from(it.key.clone()).into())
                    .unwrap();
                let pair = CertifiedKey::new(vec![it.der.clone()], key);
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (connector, socket) = (TlsConnector::from(Arc::new(config)), self.socket());
        let connect = tower::service_fn(move |_: Uri| {
            let (connector, socket) = (connector.clone(), socket.clone());
            async move {
                let stream = UnixStream::connect(socket).await?;
                let name = ServerName::try_from("localhost").unwrap();
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        Endpoint::from_static("http://localhost")
            .connect_with_connector(connect)
            .await
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn answers(channel: Channel) -> bool {
    ProviderClient::new(channel)
        .get_metadata(proto::GetMetadataRequest {})
        .await
        .is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_of_the_announced_certificate_is_let_in() {
    let (terraform, stranger) = (identity(), identity());
    let started = Started::new(|command| {
        command.env("PLUGIN_CLIENT_CERT", &terraform.pem);
    });
    let fields = started.fields();
    assert_eq!(
        (fields[0], fields[1], fields[2], fields[4], fields.len()),
        ("1", "6", "unix", "grpc", 6)
    );
    assert!(!fields[5].contains('='));

    // The right certificate without its key is as good as none.
    let thief = Identity {
        pem: String::new(),
        der: terraform.der.clone(),
        key: stranger.key.clone(),
    };
    // In TLS 1.3 the client learns of a refusal only when it uses the connection.
    for wrong in [Some(&stranger), Some(&thief), None] {
        let refused = match started.connect(wrong).await {
            Ok(channel) => !answers(channel).await,
            Err(_) => true,
        };
        assert!(refused);
    }
    assert!(answers(started.connect(Some(&terraform)).await.unwrap()).await);

    // A plain connection gets nowhere either.
    let socket = started.socket();
    let plain = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let plain = Endpoint::from_static("http://localhost")
        .connect_with_connector(plain)
        .await;
    assert!(match plain {
        Ok(channel) => !answers(channel).await,
        Err(_) => true,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_is_answered_and_leaves_nothing_behind() {
    let terraform = identity();
    let mut started = Started::new(|command| {
        command
            .env("PLUGIN_CLIENT_CERT", &terraform.pem)
            .env("PLUGIN_MULTIPLEX_GRPC", "true");
    });
    assert_eq!(started.fields()[6], "false");
    let channel = started.connect(Some(&terraform)).await.unwrap();
    let mut output = GrpcStdioClient::new(channel.clone())
        .stream_stdio(Empty {})
        .await
        .unwrap()
        .into_inner();
    let silence = tokio::time::timeout(Duration::from_millis(200), output.message()).await;
    assert!(silence.is_err(), "the stream must stay open and silent");

    // Ctrl-C reaches the whole process group; the provider must not mind.
    let pid = started.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(answers(channel.clone()).await);

    let start = Instant::now();
    GrpcControllerClient::new(channel).shutdown(Empty {}).await.unwrap();
    let status = tokio::task::block_in_place(|| started.child.wait().unwrap());
    assert!(status.success());
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "Terraform would have killed it"
    );
    assert_eq!(left_behind(started.folder.path()), [""; 0].map(PathBuf::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_the_connection_is_plain() {
    let started = Started::new(|_| {});
    assert_eq!(started.fields()[5], "");
    let socket = started.socket();
    let plain = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(plain)
        .await
        .unwrap();
    assert!(answers(channel).await);
}

#[test]
fn a_person_who_starts_the_program_is_told_what_it_is() {
    let by_hand = outcome(
        Command::new(program())
            .env_remove("TF_PLUGIN_MAGIC_COOKIE")
            .output()
            .unwrap(),
    );
    assert_eq!(by_hand.code, Some(1));
    assert!(
        by_hand.text.contains("this program is a Terraform provider"),
        "{}",
        by_hand.text
    );
    let mut too_old = Command::new(program());
    too_old
        .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "5");
    let too_old = outcome(too_old.output().unwrap());
    assert_eq!(too_old.code, Some(1));
    assert!(too_old.text.contains("plugin protocol 6"), "{}", too_old.text);
    let mut broken = Command::new(program());
    broken
        .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "6");
    let broken = outcome(broken.env("PLUGIN_CLIENT_CERT", "nonsense").output().unwrap());
    assert_eq!(broken.code, Some(1), "a bad certificate must not turn TLS off");
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_mode_says_how_to_reach_it() {
    let Some(workspace) = Workspace::with_program() else {
        return;
    };
    let mut started = Started::new(|command| {
        command.arg("--debug").env_remove("TF_PLUGIN_MAGIC_COOKIE");
    });
    let value = started
        .line
        .strip_prefix("TF_REATTACH_PROVIDERS='")
        .unwrap()
        .strip_suffix('\'')
        .unwrap()
        .to_owned();
    workspace.write("resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n}\n");
    let mut command = workspace.command(&["apply", "-auto-approve"]);
    command.env("TF_REATTACH_PROVIDERS", value);
    let applied = outcome(command.output().unwrap());
    assert_eq!(applied.code, Some(0), "{}", applied.text);
    let pid = started.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = tokio::task::block_in_place(|| started.child.wait().unwrap());
    assert!(status.success());
    assert_eq!(left_behind(started.folder.path()), [""; 0].map(PathBuf::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_terraform_died_goes_too() {
    let folder = tempfile::tempdir().unwrap();
    // The shell plays Terraform, and dies without a word.
    let mut shell = Command::new("sh")
        .args(["-c", "\"$0\" & wait"])
        .arg(program())
        .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "6")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(left_behind(folder.path()).len(), 1);
    shell.kill().unwrap();
    shell.wait().unwrap();
    tokio::task::block_in_place(|| wait_until("the provider ends", || left_behind(folder.path()).is_empty()));
}
