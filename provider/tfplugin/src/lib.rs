// SPDX-License-Identifier: Apache-2.0
//! Terraform providers.

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
