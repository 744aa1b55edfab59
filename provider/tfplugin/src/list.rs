// SPDX-License-Identifier: Apache-2.0
//! List resources: what `terraform query` shows. Since Terraform 1.14.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::data_source::Definition;
use crate::resource::{Model, Resource, checked, typed};
use crate::{Call, Diagnostics, Result, Value};

/// Lists the objects of a managed resource: a struct with `#[derive(Schema)]` that holds the filter arguments.
pub trait ListResource: Model {
    /// The managed resource that is listed; it has an identity.
    type Item: Resource;

    /// Sends every object to `found`, until that says to stop.
    fn list(
        cx: &Call<<Self::Item as Resource>::Client>,
        config: Self,
        found: &mut Listing<Self::Item>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Checks between arguments. Any argument may be unknown.
    fn validate(config: &Self) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }
}

/// An object that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub identity: Value,
    pub display_name: String,
    pub object: Option<Value>,
}

/// Takes the objects of a list resource.
#[derive(Debug)]
pub struct Listing<R> {
    sink: ListSink,
    item: PhantomData<fn() -> R>,
}

/// Where objects go, how many more are wanted, and whether in full.
#[derive(Debug)]
pub(crate) struct ListSink {
    pub sender: mpsc::Sender<Found>,
    pub wants_object: bool,
    pub remaining: u64,
}

impl<R: Resource> Listing<R> {
    /// Whether whole objects are asked for. If not, `push` needs no more than what the identity is made of.
    #[must_use]
    pub fn wants_object(&self) -> bool {
        self.sink.wants_object
    }

    /// How many more objects are wanted.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.sink.remaining
    }

    /// Sends one object; `Break` when no more are wanted.
    ///
    /// # Errors
    /// When the object has no identity, which is a bug in the provider.
    pub async fn push(&mut self, display_name: impl Into<String>, object: &R) -> Result<ControlFlow<()>> {
        if self.sink.remaining == 0 {
            return Ok(ControlFlow::Break(()));
        }
        let identity = object
            .identity()
            .map(|identity| Value::Map(crate::Fields::to_object(&identity)));
        let Some(identity) = identity.filter(Value::is_wholly_known) else {
            return Err(Diagnostics::error(
                "Object without identity",
                "This is a bug in the provider.",
            ));
        };
        let object = self.sink.wants_object.then(|| Value::Map(object.to_object()));
        let found = Found {
            identity,
            display_name: display_name.into(),
            object,
        };
        self.sink.remaining -= 1;
        // A closed channel means that nobody listens any more.
        let is_over = self.sink.sender.send(found).await.is_err() || self.sink.remaining == 0;
        Ok(if is_over {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }
}

pub(crate) trait AnyList<C>: Send + Sync {
    fn definition(&self) -> &Definition;
    fn validate(&self, config: Value) -> Diagnostics;
    fn list<'a>(&self, cx: &'a Call<C>, config: Value, sink: ListSink) -> BoxFuture<'a, Result<()>>;
}

pub(crate) struct Adapter<L> {
    definition: Definition,
    list: PhantomData<fn() -> L>,
}

impl<L: ListResource> Adapter<L> {
    pub fn new() -> Self {
        Self {
            definition: Definition::of_config::<L>(),
            list: PhantomData,
        }
    }
}

impl<L: ListResource> AnyList<<L::Item as Resource>::Client> for Adapter<L> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn validate(&self, config: Value) -> Diagnostics {
        checked(config, L::validate)
    }

    fn list<'a>(
        &self,
        cx: &'a Call<<L::Item as Resource>::Client>,
        config: Value,
        sink: ListSink,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let mut listing = Listing {
                sink,
                item: PhantomData,
            };
            L::list(cx, typed(config)?, &mut listing).await
        }
        .boxed()
    }
}
