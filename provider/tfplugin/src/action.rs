// SPDX-License-Identifier: Apache-2.0
//! Actions: imperative jobs. Since Terraform 1.14.

use std::future::ready;
use std::marker::PhantomData;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::data_source::Definition;
use crate::resource::{Model, checked, typed};
use crate::{Call, Diagnostics, Result, Value};

/// An action: a struct with `#[derive(Schema)]` that holds the arguments, and the job.
pub trait Action: Model {
    /// The type name without the provider's prefix.
    const NAME: &'static str;
    /// What `Provider::configure` makes.
    type Client: Send + Sync + 'static;

    /// Does the job.
    fn invoke(cx: &Call<Self::Client>, config: Self, progress: &Progress) -> impl Future<Output = Result<()>> + Send;

    /// Warns or refuses while planning. Any argument may be unknown, and there may be no client.
    fn plan(cx: &Call<Self::Client>, config: &Self) -> impl Future<Output = Result<()>> + Send {
        let _ = (cx, config);
        ready(Ok(()))
    }

    /// Checks between arguments. Any argument may be unknown.
    fn validate(config: &Self) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }
}

/// Shows the user how an action goes on.
#[derive(Clone, Debug)]
pub struct Progress {
    sender: mpsc::Sender<String>,
}

impl Progress {
    pub(crate) fn new(sender: mpsc::Sender<String>) -> Self {
        Self { sender }
    }

    /// Shows one line.
    pub async fn report(&self, message: impl Into<String>) {
        // A closed channel means that nobody listens any more.
        self.sender.send(message.into()).await.ok();
    }
}

pub(crate) trait AnyAction<C>: Send + Sync {
    fn definition(&self) -> &Definition;
    fn validate(&self, config: Value) -> Diagnostics;
    fn plan<'a>(&self, cx: &'a Call<C>, config: Value) -> BoxFuture<'a, Result<()>>;
    fn invoke<'a>(&self, cx: &'a Call<C>, config: Value, progress: Progress) -> BoxFuture<'a, Result<()>>;
}

pub(crate) struct Adapter<A> {
    definition: Definition,
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Adapter<A> {
    pub fn new() -> Self {
        Self {
            definition: Definition::of_config::<A>(),
            action: PhantomData,
        }
    }
}

impl<A: Action> AnyAction<A::Client> for Adapter<A> {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn validate(&self, config: Value) -> Diagnostics {
        checked(config, A::validate)
    }

    fn plan<'a>(&self, cx: &'a Call<A::Client>, config: Value) -> BoxFuture<'a, Result<()>> {
        async move {
            let config = typed::<A>(config)?;
            A::plan(cx, &config).await
        }
        .boxed()
    }

    fn invoke<'a>(&self, cx: &'a Call<A::Client>, config: Value, progress: Progress) -> BoxFuture<'a, Result<()>> {
        async move { A::invoke(cx, typed(config)?, &progress).await }.boxed()
    }
}
