// SPDX-License-Identifier: Apache-2.0
//! `Parameters`: structs whose fields are the arguments of a function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::attributes::{self, FieldOptions, StructOptions};
use crate::fields::optional_text;

pub(crate) fn parameters(input: &DeriveInput) -> syn::Result<TokenStream> {
    let StructOptions {
        description,
        deprecated,
        ..
    } = StructOptions::parse(input)?;
    let fields = attributes::fields(input)?;
    let (last, positional) = match fields.split_last() {
        Some((last, rest)) if last.flags.has("variadic") => (Some(last), rest),
        _ => (None, fields.as_slice()),
    };
    if let Some(field) = positional.iter().find(|field| field.flags.has("variadic")) {
        return Err(syn::Error::new(
            field.ident.span(),
            "only the last parameter can be variadic",
        ));
    }
    let name = &input.ident;
    let deprecated = optional_text(deprecated.as_ref());
    let declared = positional.iter().map(|field| {
        let ty = &field.ty;
        parameter(field, &quote!(#ty))
    });
    let variadic = last.map_or_else(
        || quote!(::std::option::Option::None),
        |field| {
            let ty = &field.ty;
            let declared = parameter(field, &quote!(<#ty as ::tfplugin::Collection>::Element));
            quote!(::std::option::Option::Some(#declared))
        },
    );
    let reads = positional.iter().map(|field| {
        let ident = &field.ident;
        quote!(#ident: arguments.take()?)
    });
    let rest = last.map(|field| {
        let ident = &field.ident;
        quote!(#ident: arguments.rest()?)
    });
    Ok(quote! {
        impl ::tfplugin::Parameters for #name {
            fn description() -> &'static str {
                #description
            }
            fn deprecation() -> ::std::option::Option<::std::string::String> {
                #deprecated
            }
            fn parameters() -> ::std::vec::Vec<::tfplugin::schema::Parameter> {
                ::std::vec![#(#declared),*]
            }
            fn variadic() -> ::std::option::Option<::tfplugin::schema::Parameter> {
                #variadic
            }
            #[allow(unused_variables, reason = "a function may have no parameters")]
            fn from_arguments(
                arguments: &mut ::tfplugin::Arguments,
            ) -> ::std::result::Result<Self, ::tfplugin::FunctionError> {
                ::std::result::Result::Ok(Self { #(#reads,)* #rest })
            }
        }
    })
}

fn parameter(field: &FieldOptions, ty: &TokenStream) -> TokenStream {
    let FieldOptions { name, description, .. } = field;
    quote! {
        ::tfplugin::schema::Parameter {
            name: ::std::string::String::from(#name),
            ty: <#ty as ::tfplugin::Field>::kind().ty(),
            description: ::std::string::String::from(#description),
            allows_null: <#ty as ::tfplugin::Field>::HOLDS_NULL,
            allows_unknown: <#ty as ::tfplugin::Field>::HOLDS_UNKNOWN,
        }
    }
}
