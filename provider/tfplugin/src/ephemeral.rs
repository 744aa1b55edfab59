// SPDX-License-Identifier: Apache-2.0
//! Ephemeral resources: short-lived values that never reach plan or state.

use std::future::ready;
use std::marker::PhantomData;
use std::time::SystemTime;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::data_source::Definition;
use crate::resource::{Model, checked, typed};
use crate::{Call, Diagnostics, Result, Value};

/// An ephemeral resource: a struct with `#[derive(Schema)]` of which some attributes are arguments and the others results.
///
/// Terraform opens it in plan and in apply, possibly several times, and does not close it after an interrupt: what it
/// hands out must expire by itself.
pub trait EphemeralResource: Model {
    /// The type name without the provider's prefix.
    const NAME: &'static str;
    /// What `Provider::configure` makes.
    type Client: Send + Sync + 'static;

    /// Opens the resource: returns `config` with every computed attribute filled in.
    fn open(cx: &Call<Self::Client>, config: Self) -> impl Future<Output = Result<Opened<Self>>> + Send;

    /// Extends the life of what was opened; the result cannot change. Called at the time that `open` or the last
    /// renewal asked for.
    fn renew(cx: &Call<Self::Client>, private: Vec<u8>) -> impl Future<Output = Result<Renewed>> + Send {
        let _ = (cx, private);
        ready(Ok(Renewed::default()))
    }

    /// Ends the life of what was opened.
    fn close(cx: &Call<Self::Client>, private: Vec<u8>) -> impl Future<Output = Result<()>> + Send {
        let _ = (cx, private);
        ready(Ok(()))
    }

    /// Checks between arguments. Any argument may be unknown.
    fn validate(config: &Self) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }
}

/// An open ephemeral resource.
#[derive(Clone, Debug)]
pub struct Opened<E> {
    /// The arguments as configured, and the results.
    pub result: E,
    /// When to renew, if ever.
    pub renew_at: Option<SystemTime>,
    /// What `renew` and `close` receive; enough to revoke.
    pub private: Vec<u8>,
}

/// A renewed ephemeral resource.
#[derive(Clone, Debug, Default)]
pub struct Renewed {
    /// When to renew again, if ever.
    pub renew_at: Option<SystemTime>,
    /// What the next `renew` receives, if it changed. `close` receives what `open` returned.
    pub private: Option<Vec<u8>>,
}

pub(crate) trait AnyEphemeral<C>: Send + Sync {
    fn definition(&self) -> &Definition;
    fn validate(&self, config: Value) -> Diagnostics;
    fn open<'a>(&self, cx: &'a Call<C>, config: Value) -> BoxFuture<'a, Result<Opened<Value>>>;
    fn renew<'a>(&self, cx: &'a Call<C>, private: Vec<u8>) -> BoxFuture<'a, Result<Renewed>>;
    fn close<'a>(&self, cx: &'a Call<C>, private: Vec<u8>) -> BoxFuture<'a, Result<()>>;
}

pub(crate) struct Adapter<E> {
    definition: Definition,
    resource: PhantomData<fn() -> E>,
}

impl<E: EphemeralResource> Adapter<E> {
    pub fn new() -> Self {
        Self {
            definition: Definition::of::<E>(),
            resource: PhantomData,
        }
    }
}

impl<E: EphemeralResource> AnyEphemeral<E::Client> for Adapter<E> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn validate(&self, config: Value) -> Diagnostics {
        checked(config, E::validate)
    }

    fn open<'a>(&self, cx: &'a Call<E::Client>, config: Value) -> BoxFuture<'a, Result<Opened<Value>>> {
        async move {
            let Opened {
                result,
                renew_at,
                private,
            } = E::open(cx, typed(config)?).await?;
            Ok(Opened {
                result: Value::Map(result.to_object()),
                renew_at,
                private,
            })
        }
        .boxed()
    }

    fn renew<'a>(&self, cx: &'a Call<E::Client>, private: Vec<u8>) -> BoxFuture<'a, Result<Renewed>> {
        E::renew(cx, private).boxed()
    }

    fn close<'a>(&self, cx: &'a Call<E::Client>, private: Vec<u8>) -> BoxFuture<'a, Result<()>> {
        E::close(cx, private).boxed()
    }
}
