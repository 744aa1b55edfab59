// SPDX-License-Identifier: Apache-2.0
//! What the objects of the API have in common for Terraform.
//!
//! A [`Noun`] says what its attributes are and which calls read and change it. The rest is the same for every kind of
//! object, and is here once: [`Managed`] makes the resource of it, [`Found`] the data source, [`Listed`] the list.

mod document;
mod found;
mod identity;
mod listed;
mod managed;

use std::fmt::Display;

use futures::stream::BoxStream;
use hythe_client::{Client, ClientError};
use hythe_model::AccountId;
use hythe_wire::code;
use tfplugin::{Attr, Call, Contents, Diagnostics, Json, Model, Path, Result, Value};

pub(crate) use document::Document;
pub(crate) use found::Found;
pub(crate) use identity::Identity;
pub(crate) use listed::Listed;
pub(crate) use managed::Managed;

use crate::connection::Connection;

/// A kind of object of the API. `Self` is a configuration, a plan or a state.
pub(crate) trait Noun: Model + Clone + Default {
    /// The type name without the provider's prefix.
    const NAME: &'static str;
    /// What messages call it, with its article: `a user`.
    const A_NOUN: &'static str;
    /// The attributes that name the object for good, in the order in which an import id joins them with `/`.
    const KEY: &'static [&'static str];
    /// Attributes that no read can tell; they are known to the state only.
    const UNREAD: &'static [&'static str] = &[];
    /// Attributes that change without Terraform's doing; only the data source has them.
    const ONLY_FOUND: &'static [&'static str] = &[];
    /// The codes with which the server says that the object is not there.
    const GONE: &'static [&'static str] = &[code::RESOURCE_NOT_FOUND];
    /// The codes with which the server says that there is such an object already.
    const TAKEN: &'static [&'static str] = &[code::RESOURCE_ALREADY_EXISTS];
    /// Whether the call that creates the object would replace one that is there, so that a create has to look first.
    const REPLACES: bool = false;
    /// Whether there is one for each registry, whose id is its name.
    const IS_SINGLETON: bool = false;
    /// The type of the AWS provider whose state a `moved` block may hand over.
    const AT_AMAZON: Option<&'static str> = None;
    /// The arguments of the list.
    type Filter: Model;

    /// Reads the object that the attributes of the key name; what the server does not know stays as it is.
    fn fetch(self, api: &Api<'_>) -> impl Future<Output = Outcome<Self>> + Send;

    /// Creates the object as it is planned. `config` is the only place of write-only arguments.
    fn make(self, config: Self, api: &Api<'_>) -> impl Future<Output = Outcome<Self>> + Send;

    /// Changes the object to what is planned. The default is for objects that are only replaced.
    fn change(self, prior: Self, config: Self, api: &Api<'_>) -> impl Future<Output = Outcome<Self>> + Send {
        let _ = (prior, config, api);
        std::future::ready(Ok(self))
    }

    /// Deletes the object.
    fn remove(self, api: &Api<'_>) -> impl Future<Output = Outcome<()>> + Send;

    /// All objects that `filter` asks for, as a read would show them.
    fn list(filter: Self::Filter, client: &Client) -> Result<Listing<Self>>;

    /// Checks between arguments. Any argument may be unknown.
    fn validate(config: &Self) -> Diagnostics {
        let _ = config;
        Diagnostics::new()
    }

    /// Whether what is there is what every registry has that nobody has changed, so that a create may take it over.
    fn is_default(&self) -> bool {
        false
    }

    /// The object in the state of [`Self::AT_AMAZON`]. What only the server knows stays absent: the read that follows fills
    /// it in, or finds that the object has yet to be created here.
    fn adopt(state: &Json) -> Self {
        let _ = state;
        Self::default()
    }

    /// Fills in what follows from the arguments in the registry of this account, as far as it is unknown.
    fn predict(&mut self, account: &AccountId) {
        let _ = account;
    }

    /// Improves the plan further and warns; must work without a server. Returns the attributes whose change needs a new
    /// object.
    fn plan(
        cx: &Call<Connection>,
        prior: Option<&Self>,
        planned: &mut Self,
    ) -> impl Future<Output = Result<Vec<Path>>> + Send {
        let _ = (cx, prior, planned);
        std::future::ready(Ok(Vec::new()))
    }

    /// Warns before a delete.
    fn plan_destroy(cx: &Call<Connection>, state: &Self) -> impl Future<Output = Result<()>> + Send {
        let _ = (cx, state);
        std::future::ready(Ok(()))
    }
}

/// The end of the address of the AWS provider, on whatever registry.
pub(crate) const AWS_PROVIDER: &str = "/hashicorp/aws";

/// A text in the state of another provider.
pub(crate) fn adopted(state: &Json, name: &str) -> Attr<String> {
    state.get(name).and_then(Json::as_str).map(str::to_owned).into()
}

/// Objects as they come in.
pub(crate) type Listing<N> = BoxStream<'static, Result<N, ClientError>>;

/// The result of a call, or of what leads up to it.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no, or nothing.
    Client(ClientError),
    /// The object is not there, as something else of the server's tells.
    Absent,
    /// It has been put into words already.
    Told(Diagnostics),
}

impl Failure {
    fn code(&self) -> Option<&str> {
        match self {
            Self::Client(error) => error.code(),
            Self::Absent | Self::Told(_) => None,
        }
    }

    /// The words for a failure of `what`.
    fn told(self, what: &str) -> Diagnostics {
        match self {
            Self::Client(error) => crate::diagnostics::failed(what, &error),
            Self::Absent => Diagnostics::error(format!("Cannot {what}"), "It does not exist."),
            Self::Told(diagnostics) => diagnostics,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Told(diagnostics)
    }
}

impl From<tfplugin::Diagnostic> for Failure {
    fn from(diagnostic: tfplugin::Diagnostic) -> Self {
        Self::Told(diagnostic.into())
    }
}

/// What a noun talks to the server with.
pub(crate) struct Api<'a> {
    pub connection: &'a Connection,
    pub cx: &'a Call<Connection>,
}

impl Api<'_> {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.connection.client
    }

    /// Sends a request that may take effect twice, and again while the server cannot be reached.
    pub async fn send<T, F>(&self, request: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        Ok(self.connection.send(self.cx, request).await?)
    }

    /// Sends a request that must not take effect twice: again only if it certainly took none.
    pub async fn send_once<T, F>(&self, request: impl Fn() -> F) -> Outcome<T>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        Ok(self.connection.send_once(self.cx, request).await?)
    }
}

/// Adds the resource, the data source and the list of a noun.
pub(crate) fn whole<N: Noun>(contents: Contents<Connection>) -> Contents<Connection> {
    managed::<N>(contents).data_source::<Found<N>>()
}

/// Adds the resource and the list of a noun that is no more than a link between others.
pub(crate) fn managed<N: Noun>(contents: Contents<Connection>) -> Contents<Connection> {
    contents.resource::<Managed<N>>().list::<Listed<N>>()
}

/// `user` of `a user`.
fn noun<N: Noun>() -> &'static str {
    N::A_NOUN.split_once(' ').map_or(N::A_NOUN, |(_, noun)| noun)
}

/// The parts of the object's name; none if one of them is not known.
fn key<N: Noun>(object: &N) -> Option<Vec<String>> {
    let mut members = object.to_object();
    let mut part = |name: &&str| match members.remove(*name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    N::KEY.iter().map(&mut part).collect()
}

/// The object's name in messages.
fn called<N: Noun>(object: &N) -> String {
    match key(object) {
        Some(parts) => format!("{} `{}`", noun::<N>(), parts.join("/")),
        None => noun::<N>().to_owned(),
    }
}

/// An object of which only the key is known; `None` if the parts are not those of a key.
fn keyed<N: Noun>(parts: impl IntoIterator<Item = String>) -> Option<N> {
    let mut parts = parts.into_iter();
    let mut members = std::collections::BTreeMap::new();
    for name in N::KEY {
        members.insert(
            (*name).to_owned(),
            Value::String(parts.next().filter(|it| !it.is_empty())?),
        );
    }
    N::from_object(members).ok()
}

/// Sets what is not known yet.
pub(crate) fn fill(attribute: &mut Attr<String>, value: impl Display) {
    if attribute.is_unknown() || attribute.is_null() {
        *attribute = value.to_string().into();
    }
}

/// What a request says about a setting that it leaves alone if absent, and clears with an empty value.
pub(crate) fn cleared<T: Clone + PartialEq + Default>(prior: &Attr<T>, planned: &Attr<T>) -> Option<T> {
    (prior != planned).then(|| planned.clone().unwrap_or_default())
}

/// What the server says about a setting that it does not tell empty from absent: absent, unless it was written empty.
pub(crate) fn seen<T: Default + PartialEq>(before: &Attr<T>, server: T) -> Attr<T> {
    if server == T::default() && before.known().is_none() {
        Attr::Null
    } else {
        Attr::Known(server)
    }
}
