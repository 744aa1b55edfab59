// SPDX-License-Identifier: Apache-2.0
//! Terraform providers in Rust: plugin protocol 6, schemas and planning.
//!
//! A resource is one struct and its logic. The struct says what the arguments
//! are, and its doc comments become the documentation; the logic talks to the
//! server. Everything between (the process, mutual TLS, value encodings, plans,
//! write-only arguments, checks) is in this crate.
//!
//! ```no_run
//! use tfplugin::{Attr, Call, Contents, Create, NoIdentity, Provider, Resource, Result, Schema};
//!
//! /// A greeting on a server.
//! #[derive(Clone, Debug, Default, Schema)]
//! struct Greeting {
//!     /// Whom to greet.
//!     #[tf(required, replace, validate = not_empty)]
//!     name: Attr<String>,
//!     /// How loud.
//!     #[tf(optional, default = "soft", one_of = ["soft", "loud"])]
//!     volume: Attr<String>,
//!     /// The text as it is shown.
//!     #[tf(computed)]
//!     text: Attr<String>,
//! }
//!
//! fn not_empty(name: &str) -> Result<(), &'static str> {
//!     if name.is_empty() { Err("must not be empty") } else { Ok(()) }
//! }
//!
//! impl Resource for Greeting {
//!     const NAME: &'static str = "greeting"; // `hello_greeting` in configurations
//!     type Client = Server;
//!     type Identity = NoIdentity;
//!
//!     async fn create(cx: &Call<Server>, Create { planned, .. }: Create<Self>) -> Result<Self> {
//!         let text = cx.client()?.put(planned.name.required("name")?).await?;
//!         Ok(Self { text: text.into(), ..planned })
//!     }
//!
//!     async fn read(cx: &Call<Server>, state: Self) -> Result<Option<Self>> {
//!         let text = cx.client()?.get(state.name.required("name")?).await?;
//!         Ok(text.map(|text| Self { text: text.into(), ..state }))
//!     }
//!
//!     async fn delete(cx: &Call<Server>, state: Self) -> Result<()> {
//!         cx.client()?.delete(state.name.required("name")?).await
//!     }
//! }
//!
//! /// Greets people.
//! #[derive(Debug, Schema)]
//! struct Config {
//!     /// The address of the server.
//!     #[tf(required)]
//!     endpoint: Attr<String>,
//! }
//!
//! struct Hello;
//!
//! impl Provider for Hello {
//!     const NAME: &'static str = "hello";
//!     type Config = Config;
//!     type Client = Server;
//!
//!     fn contents(&self) -> Contents<Server> {
//!         Contents::new().resource::<Greeting>()
//!     }
//!
//!     async fn configure(&self, _: &Call<()>, config: Config) -> Result<Option<Server>> {
//!         Ok(config.endpoint.into_known().map(|endpoint| Server { endpoint }))
//!     }
//! }
//!
//! struct Server {
//!     endpoint: String,
//! }
//! # impl Server {
//! #     async fn put(&self, name: &str) -> Result<String> { Ok(format!("hello {name} from {}", self.endpoint)) }
//! #     async fn get(&self, name: &str) -> Result<Option<String>> { self.put(name).await.map(Some) }
//! #     async fn delete(&self, _: &str) -> Result<()> { Ok(()) }
//! # }
//!
//! fn main() -> std::process::ExitCode {
//!     tfplugin::serve(Hello, "registry.terraform.io/example/hello")
//! }
//! ```
//!
//! `examples/shelf` uses everything: nested attributes and blocks, write-only
//! arguments, identity, import, moved blocks, state upgrades, data sources,
//! ephemeral resources, functions, list resources and actions.
//!
//! # Attributes of fields
//!
//! | `#[tf(…)]` | Meaning |
//! | --- | --- |
//! | `required`, `optional`, `computed` | who sets it; `optional, computed` go together |
//! | `default = EXPR` | planned when the user gives nothing; implies `computed` |
//! | `replace` | a change needs a new object |
//! | `stable` | an update never changes this computed value |
//! | `sensitive`, `write_only` | hidden; never in plan or state |
//! | `one_of = [..]` | the only texts allowed |
//! | `validate = FN`, `validate_each = FN` | `Fn(&T) -> Result<(), impl Display>` on the value, or on each element |
//! | `equal = FN` | `Fn(&T, &T) -> bool`: two values mean the same, so the user's own text stays |
//! | `omitted = FN` | `Fn(&T) -> bool`: the server's way to say "absent" |
//! | `name = ".."`, `deprecated = ".."` | another name; why not to use it |
//! | `block`, `block(min = 1, max = 3)`, `block(group)` | a nested block in place of a nested attribute |
//!
//! On structs: `version = 2` (of the state's shape) and `deprecated = ".."`.
//! The types of fields are in [`Field`].
//!
//! # Invariants
//!
//! * Planning is a function of schema, prior state and configuration; it never needs the network.
//! * Nothing that a user, a server or a bug in provider logic does ends the process or the call:
//!   it becomes a [`Diagnostic`], and an object that exists is in the state.
//! * Write-only values are in no plan and no state. This crate logs no values at all.
//! * Mutual TLS is on whenever Terraform offers it, which it always does; there is no switch.
//! * Absent on purpose: deferred actions, state stores, provider metadata, the legacy type system,
//!   states from before Terraform 0.12, and systems without unix sockets.

// Derived code names this crate, also inside of it.
extern crate self as tfplugin;

mod action;
mod attr;
mod call;
mod data_source;
mod description;
mod diagnostics;
mod engine;
mod ephemeral;
mod field;
mod function;
mod list;
pub mod logging;
mod path;
mod process;
pub mod proto;
mod provider;
mod resource;
pub mod schema;
mod service;
mod types;
pub mod value;

pub use tfplugin_derive::{Identity, Object, Parameters, Schema};

pub use action::{Action, Progress};
pub use attr::Attr;
pub use call::Call;
pub use data_source::DataSource;
pub use description::{Description, ResourceDescription};
pub use diagnostics::{Diagnostic, Diagnostics, Result, Severity};
pub use ephemeral::{EphemeralResource, Opened, Renewed};
pub use field::{Collection, Field, Fields, Mismatch, Set};
pub use function::{Arguments, Function, FunctionError, Parameters};
pub use list::{ListResource, Listing};
pub use path::{Path, Step};
pub use process::{ServeError, Served, serve, serve_in_process};
pub use provider::{Contents, Provider};
pub use resource::{Create, Import, Model, MoveSource, NoIdentity, Plan, Resource, Update};
pub use schema::{Attribute, Schema};
pub use serde_json::Value as Json;
pub use types::{Type, TypeError};
pub use value::{Number, Value};

/// Used by derived code.
#[doc(hidden)]
pub mod __private {
    pub use crate::field::{from_object_value, take_field};
}
