// SPDX-License-Identifier: Apache-2.0
//! Values as the real program sent them, byte for byte.
//!
//! `cargo test -p tfplugin --test it -- --ignored record` records them again.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tfplugin::{Description, Type, Value, value};

use crate::shelf::Shelf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn type_of(owner: &str) -> Type {
    let description = Description::of(&Shelf);
    match owner.split_once(' ') {
        Some(("provider", _)) => description.provider.object.ty(),
        Some(("resource", name)) => description.resources[name].schema.object.ty(),
        Some(("data", name)) => description.data_sources[name].object.ty(),
        Some(("ephemeral", name)) => description.ephemeral_resources[name].object.ty(),
        _ => panic!("{owner}"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}

#[test]
fn terraforms_own_bytes_decode_and_encode_to_themselves() {
    let text = std::fs::read_to_string(folder().join("terraform-1.11.4.txt")).unwrap();
    let (mut exact, mut unknown, mut refined) = (0, 0, 0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [owner, member, hex] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (ty, bytes) = (type_of(owner), unhex(hex));
        let decoded = value::decode(&ty, &bytes).unwrap_or_else(|error| panic!("{owner} {member}: {error}"));
        let encoded = value::encode(&ty, &decoded).unwrap();
        if encoded == bytes {
            exact += 1;
            unknown += usize::from(!decoded.is_wholly_known());
        } else {
            // Only the refinements of unknown values may be lost: extension type 12, of 3 bytes or more.
            assert!(hex.contains("0c8"), "{owner} {member} changed: {hex}");
            assert_eq!(value::decode(&ty, &encoded).unwrap(), decoded);
            refined += 1;
        }
    }
    assert!(
        exact >= 20 && unknown >= 2 && refined >= 2,
        "too little was recorded: {exact} {unknown} {refined}"
    );
}

#[test]
fn recorded_values_hold_what_was_configured() {
    let text = std::fs::read_to_string(folder().join("terraform-1.11.4.txt")).unwrap();
    let configs = text
        .lines()
        .filter_map(|line| line.strip_prefix("resource shelf_book|config|"));
    let books: Vec<Value> = configs
        .map(|hex| value::decode(&type_of("resource shelf_book"), &unhex(hex)).unwrap())
        .collect();
    let full = books
        .iter()
        .find(|book| book.get("isbn").as_str() == Some("1") && book.is_wholly_known())
        .unwrap();
    assert_eq!(full.get("pages"), &Value::from(9_007_199_254_740_993_u64));
    assert_eq!(full.get("keywords"), &Value::from(["a", "b"]));
    let Value::Dynamic(extra) = full.get("extra") else {
        panic!("not dynamic")
    };
    assert_eq!(extra.1.get("decimal"), &Value::Number("0.1".parse().unwrap()));
    let open = books
        .iter()
        .find(|book| book.get("isbn").as_str() == Some("2") && !book.is_wholly_known())
        .unwrap();
    assert!(open.get("authors").as_list().unwrap()[1].is_unknown());
}

/// Records every value that passes a provider.
mod recorder {
    use super::*;
    use tfplugin::proto::{self, provider_client::ProviderClient, provider_server};
    use tonic::transport::Channel;
    use tonic::{Request, Response, Status, Streaming};

    #[derive(Clone)]
    pub struct Recorder {
        pub client: ProviderClient<Channel>,
        pub lines: Arc<Mutex<BTreeSet<String>>>,
    }

    impl Recorder {
        fn keep(&self, owner: &str, member: &str, value: Option<&proto::DynamicValue>) {
            let Some(value) = value else { return };
            let mut line = format!("{owner}|{member}|");
            for byte in &value.msgpack {
                write!(line, "{byte:02x}").unwrap();
            }
            self.lines.lock().unwrap().insert(line);
        }
    }

    /// Forwards a call after recording the members named.
    macro_rules! recorder {
        ($($method:ident($request:ident) -> $response:ident [$($kind:literal $($owner:ident)? : $($member:ident)*)?];)*) => {
            #[tonic::async_trait]
            impl provider_server::Provider for Recorder {
                $(async fn $method(&self, request: Request<proto::$request>) -> Result<Response<proto::$response>, Status> {
                    let request = request.into_inner();
                    $(
                        #[allow(unused_mut, unused_assignments, reason = "the provider itself has no type name")]
                        let mut name = "";
                        $(name = request.$owner.as_str();)?
                        let owner = format!("{} {name}", $kind);
                        $(self.keep(&owner, stringify!($member), request.$member.as_ref());)*
                    )?
                    self.client.clone().$method(request).await
                })*

                type ListResourceStream = Streaming<proto::ListResourceEvent>;
                async fn list_resource(&self, request: Request<proto::ListResourceRequest>) -> Result<Response<Self::ListResourceStream>, Status> {
                    self.client.clone().list_resource(request).await
                }
                type InvokeActionStream = Streaming<proto::InvokeActionEvent>;
                async fn invoke_action(&self, request: Request<proto::InvokeActionRequest>) -> Result<Response<Self::InvokeActionStream>, Status> {
                    self.client.clone().invoke_action(request).await
                }
            }
        };
    }
    recorder! {
        get_metadata(GetMetadataRequest) -> GetMetadataResponse [];
        get_provider_schema(GetProviderSchemaRequest) -> GetProviderSchemaResponse [];
        get_resource_identity_schemas(GetResourceIdentitySchemasRequest) -> GetResourceIdentitySchemasResponse [];
        validate_provider_config(ValidateProviderConfigRequest) -> ValidateProviderConfigResponse ["provider": config];
        configure_provider(ConfigureProviderRequest) -> ConfigureProviderResponse ["provider": config];
        stop_provider(StopProviderRequest) -> StopProviderResponse [];
        validate_resource_config(ValidateResourceConfigRequest) -> ValidateResourceConfigResponse ["resource" type_name: config];
        upgrade_resource_state(UpgradeResourceStateRequest) -> UpgradeResourceStateResponse [];
        upgrade_resource_identity(UpgradeResourceIdentityRequest) -> UpgradeResourceIdentityResponse [];
        read_resource(ReadResourceRequest) -> ReadResourceResponse ["resource" type_name: current_state];
        plan_resource_change(PlanResourceChangeRequest) -> PlanResourceChangeResponse
            ["resource" type_name: prior_state proposed_new_state config];
        apply_resource_change(ApplyResourceChangeRequest) -> ApplyResourceChangeResponse
            ["resource" type_name: prior_state planned_state config];
        import_resource_state(ImportResourceStateRequest) -> ImportResourceStateResponse [];
        move_resource_state(MoveResourceStateRequest) -> MoveResourceStateResponse [];
        generate_resource_config(GenerateResourceConfigRequest) -> GenerateResourceConfigResponse [];
        validate_data_resource_config(ValidateDataResourceConfigRequest) -> ValidateDataResourceConfigResponse ["data" type_name: config];
        read_data_source(ReadDataSourceRequest) -> ReadDataSourceResponse ["data" type_name: config];
        validate_ephemeral_resource_config(ValidateEphemeralResourceConfigRequest) -> ValidateEphemeralResourceConfigResponse
            ["ephemeral" type_name: config];
        open_ephemeral_resource(OpenEphemeralResourceRequest) -> OpenEphemeralResourceResponse ["ephemeral" type_name: config];
        renew_ephemeral_resource(RenewEphemeralResourceRequest) -> RenewEphemeralResourceResponse [];
        close_ephemeral_resource(CloseEphemeralResourceRequest) -> CloseEphemeralResourceResponse [];
        get_functions(GetFunctionsRequest) -> GetFunctionsResponse [];
        call_function(CallFunctionRequest) -> CallFunctionResponse [];
        validate_list_resource_config(ValidateListResourceConfigRequest) -> ValidateListResourceConfigResponse [];
        validate_action_config(ValidateActionConfigRequest) -> ValidateActionConfigResponse [];
        plan_action(PlanActionRequest) -> PlanActionResponse [];
    }
}

const CONFIG: &str = r#"
resource "terraform_data" "x" {
  input = "word"
}
locals {
  later = terraform_data.x.output
  id    = terraform_data.x.id
}
data "shelf_lookup" "l" {
  isbn       = "1"
  depends_on = [shelf_book.full]
}
ephemeral "shelf_key" "k" {
  isbn = "1"
}
resource "shelf_book" "full" {
  isbn                = "1"
  title               = "Grüße, 世界"
  pages               = 9007199254740993
  authors             = ["x", "y"]
  tags                = { k = "v", a = "b" }
  keywords            = ["b", "a"]
  chapters            = [{ heading = "one", length = 300 }, { heading = "two" }]
  notes               = [{ text = "n2" }, { text = "n1", page = 70000 }]
  cover               = { colour = "red", hard = true }
  extra               = { deep = [1, -1, "two", true, null], decimal = 0.1, half = -0.5, huge = 1e30, empty = {} }
  password_wo         = ephemeral.shelf_key.k.secret
  password_wo_version = 1
  edition {
    year = 1999
  }
}
resource "shelf_book" "open" {
  isbn     = "2"
  title    = local.later
  authors  = ["x", local.later]
  tags     = { k = local.later }
  keywords = ["a", local.id]
  chapters = [{ heading = local.later }, { heading = "two", length = length(local.id) }]
  notes    = [{ text = "n" }, { text = local.id }]
  cover    = { colour = local.id }
  extra    = { deep = local.later, id = local.id }
  summary  = jsonencode({ a = local.later })
  dynamic "edition" {
    for_each = [length(local.id)]
    content {
      year = edition.value
    }
  }
}
resource "shelf_book" "vague" {
  isbn     = "3"
  title    = "T"
  authors  = split("-", local.later)
  extra    = local.later
  chapters = [for part in split("-", local.id) : { heading = part }]
}
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "records the golden file anew"]
async fn record() {
    use std::time::Duration;
    use tfplugin::proto::{provider_client::ProviderClient, provider_server::ProviderServer};
    use tokio_stream::wrappers::UnixListenerStream;

    let shelf = tempfile::tempdir().unwrap();
    let served = tfplugin::serve_in_process(Shelf, crate::support::ADDRESS)
        .await
        .unwrap();
    let lines = Arc::new(Mutex::new(BTreeSet::new()));
    let recorder = recorder::Recorder {
        client: ProviderClient::new(served.channel().await.unwrap()),
        lines: Arc::clone(&lines),
    };
    let socket = shelf.path().join("s");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let forwarding = tonic::transport::Server::builder()
        .add_service(ProviderServer::new(recorder))
        .serve_with_incoming(UnixListenerStream::new(listener));

    let config = format!(
        "terraform {{\n  required_providers {{\n    shelf = {{ source = \"example/shelf\" }}\n  }}\n}}\nprovider \"shelf\" {{\n  directory = {:?}\n}}\n{CONFIG}",
        "books" // not the name of a temporary folder
    );
    std::fs::write(shelf.path().join("main.tf"), config).unwrap();
    std::fs::create_dir(shelf.path().join("books")).unwrap();
    let own = served
        .reattach()
        .split("\"String\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let reattach = served.reattach().replace(&own, socket.to_str().unwrap());
    let folder = shelf.path().to_owned();
    // The provider in this process resolves the relative folder.
    std::env::set_current_dir(&folder).unwrap();
    let work = tokio::task::spawn_blocking(move || {
        for arguments in [
            ["apply", "-auto-approve"],
            ["apply", "-auto-approve"],
            ["destroy", "-auto-approve"],
        ] {
            let output = std::process::Command::new("terraform")
                .args(arguments)
                .current_dir(&folder)
                .env("CHECKPOINT_DISABLE", "1")
                .env("TF_CLI_CONFIG_FILE", "/dev/null")
                .env("TF_REATTACH_PROVIDERS", &reattach)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
    tokio::select! {
        done = work => done.unwrap(),
        ended = forwarding => panic!("{ended:?}"),
        () = tokio::time::sleep(Duration::from_mins(1)) => panic!("too slow"),
    }
    let mut text = "# Values that Terraform 1.11.4 sent: owner|member|MessagePack in hexadecimal\n".to_owned();
    for line in lines.lock().unwrap().iter() {
        text.push_str(line);
        text.push('\n');
    }
    std::fs::write(super::golden::folder().join("terraform-1.11.4.txt"), text).unwrap();
}
