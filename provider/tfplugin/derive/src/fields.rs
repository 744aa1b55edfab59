// SPDX-License-Identifier: Apache-2.0
//! `Schema`, `Object` and `Identity`: structs whose fields are attributes.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::DeriveInput;
use syn::spanned::Spanned;

use crate::attributes::{self, FieldOptions, ModeOption, StructOptions};

pub(crate) fn schema(input: &DeriveInput) -> syn::Result<TokenStream> {
    let options = StructOptions::parse(input)?;
    let fields = attributes::fields(input)?;
    if let Some(field) = fields
        .iter()
        .find(|field| field.mode.is_none() && field.block.is_none())
    {
        return Err(syn::Error::new(
            field.ident.span(),
            "say who sets this attribute: `#[tf(required)]`, `#[tf(optional)]`, `#[tf(computed)]` or `#[tf(block)]`",
        ));
    }
    let name = &input.ident;
    let fields_impl = fields_impl(input, &fields, ModeOption::Computed);
    let holds_unknown = fields.iter().map(|field| {
        let ty = &field.ty;
        quote_spanned! { ty.span() =>
            const _: () = assert!(
                <#ty as ::tfplugin::Field>::HOLDS_UNKNOWN,
                "a top-level attribute may be unknown: use `Attr<T>`",
            );
        }
    });
    let StructOptions {
        description,
        version,
        deprecated,
    } = &options;
    let version = version.as_ref().map_or_else(|| quote!(0), |version| quote!(#version));
    let deprecated = optional_text(deprecated.as_ref());
    Ok(quote! {
        #fields_impl
        #(#holds_unknown)*
        impl ::tfplugin::Model for #name {
            const VERSION: i64 = #version;
            fn schema() -> ::tfplugin::Schema {
                ::tfplugin::Schema {
                    version: #version,
                    description: ::std::string::String::from(#description),
                    deprecation: #deprecated,
                    object: <Self as ::tfplugin::Fields>::object_schema(),
                }
            }
        }
    })
}

pub(crate) fn object(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = attributes::fields(input)?;
    let name = &input.ident;
    let fields_impl = fields_impl(input, &fields, ModeOption::Computed);
    Ok(quote! {
        #fields_impl
        impl ::tfplugin::Field for #name {
            type Plain = Self;
            fn kind() -> ::tfplugin::schema::Kind {
                ::tfplugin::schema::Kind::Nested {
                    nesting: ::tfplugin::schema::Nesting::Single,
                    object: <Self as ::tfplugin::Fields>::object_schema(),
                }
            }
            fn from_value(value: ::tfplugin::Value) -> ::std::result::Result<Self, ::tfplugin::Mismatch> {
                ::tfplugin::__private::from_object_value(value)
            }
            fn to_value(&self) -> ::tfplugin::Value {
                ::tfplugin::Value::Map(<Self as ::tfplugin::Fields>::to_object(self))
            }
        }
    })
}

pub(crate) fn identity(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = attributes::fields(input)?;
    Ok(fields_impl(input, &fields, ModeOption::Required))
}

fn fields_impl(input: &DeriveInput, fields: &[FieldOptions], default_mode: ModeOption) -> TokenStream {
    let name = &input.ident;
    let attributes = fields
        .iter()
        .filter(|field| field.block.is_none())
        .map(|field| attribute(field, default_mode));
    let blocks = fields.iter().filter_map(block);
    let (idents, names): (Vec<_>, Vec<_>) = fields.iter().map(|field| (&field.ident, &field.name)).unzip();
    quote! {
        impl ::tfplugin::Fields for #name {
            fn attributes() -> ::std::vec::Vec<::tfplugin::schema::Attribute> {
                ::std::vec![#(#attributes),*]
            }
            fn blocks() -> ::std::vec::Vec<::tfplugin::schema::NestedBlock> {
                ::std::vec![#(#blocks),*]
            }
            #[allow(unused_mut, unused_variables, reason = "a struct may have no fields")]
            fn from_object(
                mut object: ::std::collections::BTreeMap<::std::string::String, ::tfplugin::Value>,
            ) -> ::std::result::Result<Self, ::tfplugin::Mismatch> {
                ::std::result::Result::Ok(Self {
                    #(#idents: ::tfplugin::__private::take_field(&mut object, #names)?,)*
                })
            }
            fn to_object(&self) -> ::std::collections::BTreeMap<::std::string::String, ::tfplugin::Value> {
                ::std::collections::BTreeMap::from([
                    #((::std::string::String::from(#names), ::tfplugin::Field::to_value(&self.#idents)),)*
                ])
            }
        }
    }
}

fn attribute(field: &FieldOptions, default_mode: ModeOption) -> TokenStream {
    let FieldOptions {
        ty, name, description, ..
    } = field;
    let mode = match field.mode.unwrap_or(default_mode) {
        ModeOption::Required => quote!(Required),
        ModeOption::Optional => quote!(Optional),
        ModeOption::OptionalComputed => quote!(OptionalComputed),
        ModeOption::Computed => quote!(Computed),
    };
    let plain = quote!(<#ty as ::tfplugin::Field>::Plain);
    let mut code = quote_spanned! { ty.span() =>
        ::tfplugin::schema::Attribute::new(
            #name,
            <#ty as ::tfplugin::Field>::kind(),
            ::tfplugin::schema::Mode::#mode,
        )
        .describe(#description)
    };
    for (flag, method) in [
        ("sensitive", quote!(sensitive)),
        ("write_only", quote!(write_only)),
        ("replace", quote!(replace)),
        ("stable", quote!(stable)),
    ] {
        if field.flags.has(flag) {
            code.extend(quote!(.#method()));
        }
    }
    if let Some(message) = &field.deprecated {
        code.extend(quote!(.deprecate(#message)));
    }
    if let Some(default) = &field.default {
        code.extend(quote!(.default(#default)));
    }
    if let Some(allowed) = &field.one_of {
        code.extend(quote!(.one_of(#allowed)));
    }
    if let Some(equal) = &field.equal {
        code.extend(quote!(.equality(::tfplugin::schema::Equality::new::<#plain, _, _>(#equal))));
    }
    if let Some(omitted) = &field.omitted {
        code.extend(quote!(.omitted(::tfplugin::schema::Validator::accepts::<#plain, _, _>(#omitted))));
    }
    for check in &field.validate {
        code.extend(quote!(.validate(::tfplugin::schema::Validator::new::<#plain, _, _, _>(#check))));
    }
    for check in &field.validate_each {
        code.extend(quote! {
            .validate(::tfplugin::schema::Validator::each(
                ::tfplugin::schema::Validator::new::<<#plain as ::tfplugin::Collection>::Item, _, _, _>(#check),
                &<#ty as ::tfplugin::Field>::kind().ty(),
            ))
        });
    }
    code
}

fn block(field: &FieldOptions) -> Option<TokenStream> {
    let options = field.block.as_ref()?;
    let FieldOptions {
        ty, name, description, ..
    } = field;
    let mut code = quote_spanned! { ty.span() =>
        ::tfplugin::schema::NestedBlock::new(#name, <#ty as ::tfplugin::Field>::kind()).describe(#description)
    };
    if let Some(min) = &options.min {
        code.extend(quote!(.min(#min)));
    }
    if let Some(max) = &options.max {
        code.extend(quote!(.max(#max)));
    }
    if options.is_group {
        code.extend(quote!(.group()));
    }
    if let Some(message) = &field.deprecated {
        code.extend(quote!(.deprecate(#message)));
    }
    Some(code)
}

pub(crate) fn optional_text(text: Option<&syn::LitStr>) -> TokenStream {
    text.map_or_else(
        || quote!(::std::option::Option::None),
        |text| quote!(::std::option::Option::Some(::std::string::String::from(#text))),
    )
}
