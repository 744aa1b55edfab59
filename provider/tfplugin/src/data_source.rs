// SPDX-License-Identifier: Apache-2.0
//! Data sources.

use std::marker::PhantomData;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::resource::{Model, checked, typed};
use crate::{Call, Diagnostics, Result, Schema, Type, Value};

/// A data source: a struct with `#[derive(Schema)]` of which some attributes are arguments and the others results.
pub trait DataSource: Model {
    /// The type name without the provider's prefix.
    const NAME: &'static str;
    /// What `Provider::configure` makes.
    type Client: Send + Sync + 'static;

    /// Looks the object up: returns `config` with every computed attribute filled in.
    fn read(cx: &Call<Self::Client>, config: Self) -> impl Future<Output = Result<Self>> + Send;

    /// Checks between arguments. Any argument may be unknown.
    fn validate(config: &Self) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }
}

/// A configured object with its type erased: what data sources, list resources and actions have in common.
#[derive(Debug)]
pub(crate) struct Definition {
    pub schema: Schema,
    pub ty: Type,
}

impl Definition {
    pub fn of<M: Model>() -> Self {
        let schema = M::schema();
        let ty = schema.object.ty();
        Self { schema, ty }
    }

    /// A definition of arguments only: defaults are filled in before the logic runs, so nothing is computed.
    pub fn of_config<M: Model>() -> Self {
        let mut definition = Self::of::<M>();
        definition.schema.object = definition.schema.object.into_arguments();
        definition
    }
}

pub(crate) trait AnyDataSource<C>: Send + Sync {
    fn definition(&self) -> &Definition;
    fn validate(&self, config: Value) -> Diagnostics;
    fn read<'a>(&self, cx: &'a Call<C>, config: Value) -> BoxFuture<'a, Result<Value>>;
}

pub(crate) struct Adapter<D> {
    definition: Definition,
    source: PhantomData<fn() -> D>,
}

impl<D: DataSource> Adapter<D> {
    pub fn new() -> Self {
        Self {
            definition: Definition::of::<D>(),
            source: PhantomData,
        }
    }
}

impl<D: DataSource> AnyDataSource<D::Client> for Adapter<D> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn validate(&self, config: Value) -> Diagnostics {
        checked(config, D::validate)
    }

    fn read<'a>(&self, cx: &'a Call<D::Client>, config: Value) -> BoxFuture<'a, Result<Value>> {
        async move { Ok(Value::Map(D::read(cx, typed(config)?).await?.to_object())) }.boxed()
    }
}
