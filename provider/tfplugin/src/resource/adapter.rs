// SPDX-License-Identifier: Apache-2.0
//! From values to a resource's struct and back, so that the service need not know the type.

use std::marker::PhantomData;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value as Json;

use super::{Create, Import, MoveSource, Plan, Resource, Update};
use crate::field::{Fields, from_object_value};
use crate::schema::ObjectSchema;
use crate::{Call, Diagnostic, Diagnostics, Mismatch, Path, Result, Schema, Type, Value};

/// What is known about a resource type without running its logic.
#[derive(Debug)]
pub(crate) struct ResourceDefinition {
    pub schema: Schema,
    pub ty: Type,
    pub identity: Option<IdentityDefinition>,
}

/// The shape of a resource's identity.
#[derive(Clone, Debug)]
pub(crate) struct IdentityDefinition {
    pub version: i64,
    pub object: ObjectSchema,
    pub ty: Type,
}

/// A resource with its types erased.
pub(crate) trait AnyResource<C>: Send + Sync {
    fn definition(&self) -> &ResourceDefinition;
    fn validate(&self, config: Value) -> Diagnostics;
    fn plan<'a>(&self, cx: &'a Call<C>, prior: Value, config: Value, planned: Value) -> Planning<'a>;
    fn plan_destroy<'a>(&self, cx: &'a Call<C>, state: Value) -> BoxFuture<'a, Result<()>>;
    fn create<'a>(&self, cx: &'a Call<C>, planned: Value, config: Value) -> BoxFuture<'a, Result<Value>>;
    fn update<'a>(&self, cx: &'a Call<C>, prior: Value, planned: Value, config: Value) -> BoxFuture<'a, Result<Value>>;
    fn read<'a>(&self, cx: &'a Call<C>, state: Value) -> BoxFuture<'a, Result<Option<Value>>>;
    fn delete<'a>(&self, cx: &'a Call<C>, state: Value) -> BoxFuture<'a, Result<()>>;
    fn import<'a>(&self, cx: &'a Call<C>, request: Import<Value>) -> BoxFuture<'a, Result<Value>>;
    fn move_from<'a>(&self, cx: &'a Call<C>, source: MoveSource) -> BoxFuture<'a, Result<Option<Value>>>;
    fn identity(&self, state: Value) -> Option<Value>;
    fn upgrade(&self, version: i64, state: Json) -> Result<Json>;
    fn upgrade_identity(&self, version: i64, identity: Json) -> Result<Json>;
}

/// The improved plan, and the attributes that need a new object.
type Planning<'a> = BoxFuture<'a, Result<(Value, Vec<Path>)>>;

pub(crate) struct Adapter<R> {
    definition: ResourceDefinition,
    resource: PhantomData<fn() -> R>,
}

impl<R: Resource> Adapter<R> {
    pub fn new() -> Self {
        let schema = R::schema();
        let ty = schema.object.ty();
        let object = R::Identity::object_schema();
        let identity = (!object.attributes.is_empty()).then(|| IdentityDefinition {
            version: R::IDENTITY_VERSION,
            ty: object.ty(),
            object,
        });
        Self {
            definition: ResourceDefinition { schema, ty, identity },
            resource: PhantomData,
        }
    }
}

/// Reads a struct; what does not fit becomes an error at its place.
pub(crate) fn typed<T: Fields>(value: Value) -> Result<T> {
    from_object_value(value).map_err(|mismatch| {
        let (path, message) = match mismatch {
            Mismatch::Unknown => (Path::root(), mismatch.to_string()),
            Mismatch::Invalid { path, message } => (path, message),
        };
        Diagnostic::error(
            if path.is_root() {
                "Invalid value".to_owned()
            } else {
                format!("Invalid `{path}`")
            },
            message,
        )
        .at(path)
        .into()
    })
}

/// Runs the logic's checks on a configuration; one that does not fit its struct is refused before.
pub(crate) fn checked<T: Fields>(config: Value, check: impl FnOnce(&T) -> Diagnostics) -> Diagnostics {
    match typed::<T>(config) {
        Ok(config) => check(&config),
        Err(diagnostics) => diagnostics,
    }
}

fn untyped<T: Fields>(value: &T) -> Value {
    Value::Map(value.to_object())
}

impl<R: Resource> AnyResource<R::Client> for Adapter<R> {
    fn definition(&self) -> &ResourceDefinition {
        &self.definition
    }

    fn validate(&self, config: Value) -> Diagnostics {
        checked(config, R::validate)
    }

    fn plan<'a>(&self, cx: &'a Call<R::Client>, prior: Value, config: Value, planned: Value) -> Planning<'a> {
        async move {
            let prior = if prior.is_null() {
                None
            } else {
                Some(typed::<R>(prior)?)
            };
            let config = typed::<R>(config)?;
            let mut plan = Plan {
                prior,
                config,
                planned: typed::<R>(planned.clone())?,
                replace: Vec::new(),
            };
            let before = plan.planned.to_object();
            R::plan(cx, &mut plan).await?;
            // Only what the logic changed is taken over: the struct may know less about unknown parts than the plan.
            let changed = plan
                .planned
                .to_object()
                .into_iter()
                .filter(|(name, value)| before.get(name) != Some(value));
            let planned = match planned {
                Value::Map(mut members) => {
                    members.extend(changed);
                    Value::Map(members)
                }
                other => other,
            };
            Ok((planned, plan.replace))
        }
        .boxed()
    }

    fn plan_destroy<'a>(&self, cx: &'a Call<R::Client>, state: Value) -> BoxFuture<'a, Result<()>> {
        async move {
            let state = typed::<R>(state)?;
            R::plan_destroy(cx, &state).await
        }
        .boxed()
    }

    fn create<'a>(&self, cx: &'a Call<R::Client>, planned: Value, config: Value) -> BoxFuture<'a, Result<Value>> {
        async move {
            let request = Create {
                planned: typed(planned)?,
                config: typed(config)?,
            };
            Ok(untyped(&R::create(cx, request).await?))
        }
        .boxed()
    }

    fn update<'a>(
        &self,
        cx: &'a Call<R::Client>,
        prior: Value,
        planned: Value,
        config: Value,
    ) -> BoxFuture<'a, Result<Value>> {
        async move {
            let request = Update {
                prior: typed(prior)?,
                planned: typed(planned)?,
                config: typed(config)?,
            };
            Ok(untyped(&R::update(cx, request).await?))
        }
        .boxed()
    }

    fn read<'a>(&self, cx: &'a Call<R::Client>, state: Value) -> BoxFuture<'a, Result<Option<Value>>> {
        async move { Ok(R::read(cx, typed(state)?).await?.as_ref().map(untyped)) }.boxed()
    }

    fn delete<'a>(&self, cx: &'a Call<R::Client>, state: Value) -> BoxFuture<'a, Result<()>> {
        async move { R::delete(cx, typed(state)?).await }.boxed()
    }

    fn import<'a>(&self, cx: &'a Call<R::Client>, request: Import<Value>) -> BoxFuture<'a, Result<Value>> {
        async move {
            let request = match request {
                Import::Id(id) => Import::Id(id),
                Import::Identity(identity) => Import::Identity(typed(identity)?),
            };
            Ok(untyped(&R::import(cx, request).await?))
        }
        .boxed()
    }

    fn move_from<'a>(&self, cx: &'a Call<R::Client>, source: MoveSource) -> BoxFuture<'a, Result<Option<Value>>> {
        async move { Ok(R::move_from(cx, source).await?.as_ref().map(untyped)) }.boxed()
    }

    fn identity(&self, state: Value) -> Option<Value> {
        let identity = untyped(&typed::<R>(state).ok()?.identity()?);
        identity.is_wholly_known().then_some(identity)
    }

    fn upgrade(&self, version: i64, state: Json) -> Result<Json> {
        R::upgrade(version, state)
    }

    fn upgrade_identity(&self, version: i64, identity: Json) -> Result<Json> {
        R::upgrade_identity(version, identity)
    }
}
