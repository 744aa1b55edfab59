// SPDX-License-Identifier: Apache-2.0
//! The provider itself: its configuration and its contents.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{Action, AnyAction};
use crate::data_source::{AnyDataSource, DataSource};
use crate::ephemeral::{AnyEphemeral, EphemeralResource};
use crate::function::{AnyFunction, Function};
use crate::list::{AnyList, ListResource};
use crate::resource::{AnyResource, Model, Resource};
use crate::{Call, Diagnostics, Result, action, data_source, ephemeral, function, list, resource};

/// A Terraform provider.
pub trait Provider: Send + Sync + 'static {
    /// The prefix of all type names, and the name of the provider block: `acme`.
    const NAME: &'static str;
    /// The arguments of the provider block.
    type Config: Model;
    /// What resources use to talk to the server.
    type Client: Send + Sync + 'static;

    /// Everything that the provider offers. Cheap and without side effects.
    fn contents(&self) -> Contents<Self::Client>;

    /// Makes the client. None when an argument that it needs is unknown, which happens during planning: then resources
    /// keep their state and are planned offline.
    fn configure(
        &self,
        cx: &Call<()>,
        config: Self::Config,
    ) -> impl Future<Output = Result<Option<Self::Client>>> + Send;

    /// Checks between arguments. Any argument may be unknown.
    fn validate(&self, config: &Self::Config) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }
}

/// What a provider offers: `Contents::new().resource::<Repository>().function::<ParseArn>()`.
pub struct Contents<C> {
    pub(crate) resources: Vec<Entry<dyn AnyResource<C>>>,
    pub(crate) data_sources: Vec<Entry<dyn AnyDataSource<C>>>,
    pub(crate) ephemeral_resources: Vec<Entry<dyn AnyEphemeral<C>>>,
    pub(crate) functions: Vec<Entry<dyn AnyFunction>>,
    pub(crate) list_resources: Vec<Entry<dyn AnyList<C>>>,
    pub(crate) actions: Vec<Entry<dyn AnyAction<C>>>,
}

/// A name without prefix, and how to make what it names.
pub(crate) struct Entry<A: ?Sized> {
    pub name: &'static str,
    make: fn() -> Arc<A>,
}

impl<A: ?Sized> Entry<A> {
    fn named(
        entries: Vec<Self>,
        name_of: impl Fn(&str) -> String,
        duplicates: &mut Vec<String>,
    ) -> BTreeMap<String, Arc<A>> {
        let mut named = BTreeMap::new();
        for entry in entries {
            let name = name_of(entry.name);
            if named.insert(name.clone(), (entry.make)()).is_some() {
                duplicates.push(name);
            }
        }
        named
    }
}

impl<C: Send + Sync + 'static> Default for Contents<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Send + Sync + 'static> Contents<C> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            resources: Vec::new(),
            data_sources: Vec::new(),
            ephemeral_resources: Vec::new(),
            functions: Vec::new(),
            list_resources: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Adds a managed resource.
    #[must_use]
    pub fn resource<R: Resource<Client = C>>(mut self) -> Self {
        self.resources.push(Entry {
            name: R::NAME,
            make: || Arc::new(resource::Adapter::<R>::new()),
        });
        self
    }

    /// Adds a data source.
    #[must_use]
    pub fn data_source<D: DataSource<Client = C>>(mut self) -> Self {
        self.data_sources.push(Entry {
            name: D::NAME,
            make: || Arc::new(data_source::Adapter::<D>::new()),
        });
        self
    }

    /// Adds an ephemeral resource.
    #[must_use]
    pub fn ephemeral<E: EphemeralResource<Client = C>>(mut self) -> Self {
        let make = || -> Arc<dyn AnyEphemeral<C>> { Arc::new(ephemeral::Adapter::<E>::new()) };
        self.ephemeral_resources.push(Entry { name: E::NAME, make });
        self
    }

    /// Adds a function.
    #[must_use]
    pub fn function<F: Function>(mut self) -> Self {
        self.functions.push(Entry {
            name: F::NAME,
            make: || Arc::new(function::Adapter::<F>::new()),
        });
        self
    }

    /// Adds a list resource. Its managed resource must be added too.
    #[must_use]
    pub fn list<L: ListResource>(mut self) -> Self
    where
        L::Item: Resource<Client = C>,
    {
        let make = || -> Arc<dyn AnyList<C>> { Arc::new(list::Adapter::<L>::new()) };
        self.list_resources.push(Entry {
            name: <L::Item as Resource>::NAME,
            make,
        });
        self
    }

    /// Adds an action.
    #[must_use]
    pub fn action<A: Action<Client = C>>(mut self) -> Self {
        self.actions.push(Entry {
            name: A::NAME,
            make: || Arc::new(action::Adapter::<A>::new()),
        });
        self
    }

    /// Everything by its full name.
    pub(crate) fn into_catalog(self, prefix: &str) -> Catalog<C> {
        let typed = |name: &str| format!("{prefix}_{name}");
        let mut duplicates = Vec::new();
        Catalog {
            resources: Entry::named(self.resources, typed, &mut duplicates),
            data_sources: Entry::named(self.data_sources, typed, &mut duplicates),
            ephemeral_resources: Entry::named(self.ephemeral_resources, typed, &mut duplicates),
            functions: Entry::named(self.functions, str::to_owned, &mut duplicates),
            list_resources: Entry::named(self.list_resources, typed, &mut duplicates),
            actions: Entry::named(self.actions, typed, &mut duplicates),
            duplicates,
        }
    }
}

/// The contents by full name.
pub(crate) struct Catalog<C> {
    pub resources: BTreeMap<String, Arc<dyn AnyResource<C>>>,
    pub data_sources: BTreeMap<String, Arc<dyn AnyDataSource<C>>>,
    pub ephemeral_resources: BTreeMap<String, Arc<dyn AnyEphemeral<C>>>,
    pub functions: BTreeMap<String, Arc<dyn AnyFunction>>,
    pub list_resources: BTreeMap<String, Arc<dyn AnyList<C>>>,
    pub actions: BTreeMap<String, Arc<dyn AnyAction<C>>>,
    /// Names that were added twice.
    pub duplicates: Vec<String>,
}
