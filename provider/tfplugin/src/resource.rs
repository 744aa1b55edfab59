// SPDX-License-Identifier: Apache-2.0
//! Managed resources.

mod adapter;

use std::future::{Future, ready};

use serde_json::Value as Json;

pub(crate) use adapter::{Adapter, AnyResource, ResourceDefinition, checked, typed};

use crate::field::Fields;
use crate::{Attribute, Call, Diagnostics, Mismatch, Path, Result, Schema, Value};

/// A struct with a schema. Derived by `Schema`.
pub trait Model: Fields {
    /// Version of the shape.
    const VERSION: i64;

    /// The schema.
    fn schema() -> Schema;
}

/// A managed resource: a struct with `#[derive(Schema)]`, and its logic.
///
/// The library plans changes from the schema, validates arguments, keeps the user's own text where it means the same
/// as the server's, and checks results. The logic talks to the server. `Self` is a configuration, a plan or a state.
pub trait Resource: Model {
    /// The type name without the provider's prefix: `repository` for `acme_repository`.
    const NAME: &'static str;
    /// What `Provider::configure` makes.
    type Client: Send + Sync + 'static;
    /// What names the object for good; [`NoIdentity`] if there is no such thing.
    type Identity: Fields;
    /// Version of the identity's shape.
    const IDENTITY_VERSION: i64 = 0;

    /// Creates the object and returns its state, with every unknown attribute of `planned` filled in.
    ///
    /// Call [`Call::record`] as soon as the object exists, if anything can fail after that.
    fn create(cx: &Call<Self::Client>, request: Create<Self>) -> impl Future<Output = Result<Self>> + Send;

    /// Returns the present state, or none if the object is gone. Any other failure is an error.
    ///
    /// Attributes of `state` that the server does not know should be returned as they are.
    fn read(cx: &Call<Self::Client>, state: Self) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// Changes the object and returns its state. On an error, the prior state or the recorded one stays.
    ///
    /// The default is for resources of which every argument forces replacement.
    fn update(cx: &Call<Self::Client>, request: Update<Self>) -> impl Future<Output = Result<Self>> + Send {
        let _ = (cx, request);
        ready(Err(Diagnostics::error(
            "Cannot update",
            "This object cannot be changed, only replaced.",
        )))
    }

    /// Deletes the object. That it is gone already is a success.
    fn delete(cx: &Call<Self::Client>, state: Self) -> impl Future<Output = Result<()>> + Send;

    /// Checks between arguments; those on a single argument are validators. Any argument may be unknown.
    fn validate(config: &Self) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }

    /// Improves the plan of a create or update: predicts computed values, warns, asks for replacement.
    ///
    /// Must work without a client. A configured argument must stay as configured.
    fn plan(cx: &Call<Self::Client>, plan: &mut Plan<Self>) -> impl Future<Output = Result<()>> + Send {
        let _ = (cx, plan);
        ready(Ok(()))
    }

    /// Warns before a delete, or refuses it.
    fn plan_destroy(cx: &Call<Self::Client>, state: &Self) -> impl Future<Output = Result<()>> + Send {
        let _ = (cx, state);
        ready(Ok(()))
    }

    /// Finds an existing object. The result needs just enough for `read`, which follows; defaults are filled in.
    fn import(cx: &Call<Self::Client>, request: Import<Self::Identity>) -> impl Future<Output = Result<Self>> + Send {
        let _ = (cx, request);
        ready(Err(Diagnostics::error(
            "Cannot import",
            "Objects of this type cannot be imported.",
        )))
    }

    /// The identity of the object with this state.
    fn identity(&self) -> Option<Self::Identity> {
        None
    }

    /// Takes over the state of another resource type, for a `moved` block. None refuses the source.
    fn move_from(cx: &Call<Self::Client>, source: MoveSource) -> impl Future<Output = Result<Option<Self>>> + Send {
        let _ = (cx, source);
        ready(Ok(None))
    }

    /// Turns a state of an older schema version into the JSON of the present one.
    fn upgrade(version: i64, state: Json) -> Result<Json> {
        let _ = state;
        Err(Diagnostics::error(
            "Cannot upgrade the state",
            format!("The state has version {version}, which this provider no longer reads."),
        ))
    }

    /// Turns an identity of an older version into the JSON of the present one.
    fn upgrade_identity(version: i64, identity: Json) -> Result<Json> {
        let _ = identity;
        Err(Diagnostics::error(
            "Cannot upgrade the identity",
            format!("The identity has version {version}, which this provider no longer reads."),
        ))
    }
}

/// What to create.
#[derive(Clone, Debug)]
pub struct Create<R> {
    /// The planned state. Unknown attributes are for the logic to fill in.
    pub planned: R,
    /// The configuration: the only place of write-only arguments.
    pub config: R,
}

/// What to change.
#[derive(Clone, Debug)]
pub struct Update<R> {
    /// The state before.
    pub prior: R,
    /// The planned state. Unknown attributes are for the logic to fill in.
    pub planned: R,
    /// The configuration: the only place of write-only arguments.
    pub config: R,
}

/// A plan to improve.
#[derive(Clone, Debug)]
pub struct Plan<R> {
    /// The state before; none for a create.
    pub prior: Option<R>,
    /// The configuration. Any argument may be unknown.
    pub config: R,
    /// What the schema says will be. Change computed attributes here.
    pub planned: R,
    replace: Vec<Path>,
}

impl<R> Plan<R> {
    /// Asks for a new object because of the attribute at `path`, if it differs from the prior state.
    pub fn require_replacement(&mut self, path: impl Into<Path>) {
        self.replace.push(path.into());
    }
}

/// What the user wants to import.
#[derive(Clone, Debug)]
pub enum Import<I> {
    /// By a text.
    Id(String),
    /// By an identity; since Terraform 1.12.
    Identity(I),
}

/// A state of another resource type.
#[derive(Clone, Debug)]
pub struct MoveSource {
    /// The address of the provider that wrote it, such as `registry.terraform.io/hashicorp/aws`.
    pub provider_address: String,
    /// The resource type.
    pub type_name: String,
    /// The schema version of the state.
    pub schema_version: i64,
    /// The state as JSON.
    pub state: Json,
    /// The private bytes.
    pub private: Vec<u8>,
}

/// The identity of resources that have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoIdentity;

impl Fields for NoIdentity {
    fn attributes() -> Vec<Attribute> {
        Vec::new()
    }

    fn from_object(_: std::collections::BTreeMap<String, Value>) -> Result<Self, Mismatch> {
        Ok(Self)
    }

    fn to_object(&self) -> std::collections::BTreeMap<String, Value> {
        std::collections::BTreeMap::new()
    }
}
