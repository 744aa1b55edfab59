// SPDX-License-Identifier: Apache-2.0
//! Answers Terraform's calls: decodes, runs the engine and the provider's logic, encodes.
//!
//! Invariant: whatever a user or a provider's bug can cause is a diagnostic in
//! a normal answer, also a panic. gRPC errors are left to misuse of the protocol.

mod actions;
mod change;
mod data;
mod ephemeral;
mod functions;
mod lists;
mod managed;
mod metadata;
mod reply;
mod rpc;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::data_source::Definition;
use crate::engine;
use crate::provider::{Catalog, Provider};
use crate::resource::{checked, typed};
use crate::schema::ObjectSchema;
use crate::value::{self, Value};
use crate::{Call, Diagnostics, Result, Type, proto};

/// The gRPC service of one provider instance.
pub(crate) struct Service<P: Provider> {
    provider: P,
    catalog: Catalog<P::Client>,
    config: Definition,
    session: Mutex<Session<P::Client>>,
}

/// What changes while the process runs.
struct Session<C> {
    client: Option<Arc<C>>,
    terraform_version: Arc<str>,
    stop: CancellationToken,
}

impl<P: Provider> Service<P> {
    pub fn new(provider: P) -> Self {
        let catalog = provider.contents().into_catalog(P::NAME);
        let session = Session {
            client: None,
            terraform_version: Arc::from(""),
            stop: CancellationToken::new(),
        };
        let config = Definition::of_config::<P::Config>();
        Self {
            provider,
            catalog,
            config,
            session: Mutex::new(session),
        }
    }

    /// A call with the present client.
    fn call(&self) -> Call<P::Client> {
        let session = self.session();
        Call::new(
            session.client.clone(),
            session.stop.child_token(),
            Arc::clone(&session.terraform_version),
        )
    }

    fn session(&self) -> MutexGuard<'_, Session<P::Client>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn validate_provider(
        &self,
        request: &proto::ValidateProviderConfigRequest,
    ) -> Result<proto::ValidateProviderConfigResponse> {
        let config = decode(&self.config.ty, request.config.as_ref())?;
        let diagnostics = validated(&self.config.schema.object, config, |config| {
            checked(config, |config| self.provider.validate(config))
        });
        Ok(proto::ValidateProviderConfigResponse {
            diagnostics: diagnostics.to_proto(),
        })
    }

    async fn configure(&self, request: proto::ConfigureProviderRequest) -> Result<proto::ConfigureProviderResponse> {
        let config = decode(&self.config.ty, request.config.as_ref())?;
        let config = typed::<P::Config>(engine::with_defaults(&self.config.schema.object, config))?;
        let cx = {
            let mut session = self.session();
            session.terraform_version = Arc::from(request.terraform_version);
            Call::new(None, session.stop.child_token(), Arc::clone(&session.terraform_version))
        };
        let result = self.provider.configure(&cx, config).await;
        let mut diagnostics = cx.diagnostics();
        if let Some(client) = diagnostics.absorb(result) {
            self.session().client = client.map(Arc::new);
        }
        Ok(proto::ConfigureProviderResponse {
            diagnostics: diagnostics.to_proto(),
        })
    }

    /// Cancels what is running. The service goes on, because Terraform still needs answers and calls `close`.
    fn stop(&self) {
        let running = std::mem::take(&mut self.session().stop);
        running.cancel();
    }
}

/// The member called `name`.
fn find<A: ?Sized>(members: &BTreeMap<String, Arc<A>>, kind: &str, name: &str) -> Result<Arc<A>> {
    members.get(name).cloned().ok_or_else(|| {
        Diagnostics::error(
            format!("Unknown {kind}"),
            format!("This provider has no {kind} `{name}`."),
        )
    })
}

fn decode(ty: &Type, value: Option<&proto::DynamicValue>) -> Result<Value> {
    let result = match value {
        Some(value) if !value.msgpack.is_empty() => value::decode(ty, &value.msgpack),
        Some(value) if !value.json.is_empty() => value::decode_json(ty, &value.json),
        _ => Ok(Value::Null),
    };
    result.map_err(|error| Diagnostics::error("Cannot read a value", error.to_string()))
}

fn encode(ty: &Type, value: &Value) -> Result<proto::DynamicValue> {
    let msgpack = value::encode(ty, value).map_err(|error| {
        Diagnostics::error(
            "Cannot write a value",
            format!("{error}. This is a bug in the provider."),
        )
    })?;
    Ok(proto::DynamicValue {
        msgpack,
        json: Vec::new(),
    })
}

/// What is wrong with a configuration: by its schema, and then as the logic sees it.
fn validated(object: &ObjectSchema, config: Value, logic: impl FnOnce(Value) -> Diagnostics) -> Diagnostics {
    let mut diagnostics = engine::validate(object, &config);
    diagnostics.extend(logic(config));
    diagnostics
}

/// What the logic returned, as it is recorded: complete, in the user's own words, without write-only values.
fn finished(object: &ObjectSchema, reference: &Value, value: Value) -> Value {
    let value = engine::complete(object, value);
    let value = engine::keep_meaning(object, reference, value);
    engine::without_write_only(object, value)
}

/// The stored JSON of a state or identity.
fn stored_json(raw: Option<proto::RawState>) -> Result<Vec<u8>> {
    let raw = raw.unwrap_or_default();
    if !raw.flatmap.is_empty() {
        return Err(Diagnostics::error(
            "State is too old",
            "The state was written by Terraform 0.11 or older. Upgrade it with Terraform 0.13 first.",
        ));
    }
    if raw.json.is_empty() {
        Ok(b"null".to_vec())
    } else {
        Ok(raw.json)
    }
}

fn parse_json(bytes: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(bytes).map_err(|error| Diagnostics::error("Cannot read the state", error.to_string()))
}
