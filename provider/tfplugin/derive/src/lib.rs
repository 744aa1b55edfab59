// SPDX-License-Identifier: Apache-2.0
//! Derive macros of the `tfplugin` crate, which documents and re-exports them.
//!
//! The doc comments of structs and fields become the descriptions that users
//! read. Invariant: a macro only writes down what the struct says; every rule
//! about schemas is checked by `tfplugin`, where it can be tested.

mod attributes;
mod docs;
mod fields;
mod parameters;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct the schema of a resource, data source, provider block or other configured object.
///
/// Every field is an `Attr<T>`. See the `tfplugin` crate for the `#[tf(…)]` attributes.
#[proc_macro_derive(Schema, attributes(tf))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), fields::schema)
}

/// Makes a struct an object that attributes and blocks can hold.
///
/// A field without `required`, `optional` or `computed` is computed.
#[proc_macro_derive(Object, attributes(tf))]
pub fn derive_object(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), fields::object)
}

/// Makes a struct the identity of a resource: a flat object of primitives.
///
/// A field is required for import, unless it says `#[tf(optional)]`.
#[proc_macro_derive(Identity, attributes(tf))]
pub fn derive_identity(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), fields::identity)
}

/// Makes a struct the parameters of a provider function, in the order of the fields.
///
/// `#[tf(variadic)]` on a last field of type `Vec<T>` takes all further arguments.
#[proc_macro_derive(Parameters, attributes(tf))]
pub fn derive_parameters(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), parameters::parameters)
}

fn expand(input: &DeriveInput, with: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    with(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
