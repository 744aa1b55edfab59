// SPDX-License-Identifier: Apache-2.0
//! The `#[tf(…)]` attributes of structs and fields.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, Field, Fields, Ident, LitInt, LitStr, Type};

use crate::docs;

/// What a struct says about itself.
#[derive(Default)]
pub(crate) struct StructOptions {
    pub description: String,
    pub version: Option<LitInt>,
    pub deprecated: Option<LitStr>,
}

/// What a field says about itself.
pub(crate) struct FieldOptions {
    pub ident: Ident,
    pub ty: Type,
    pub name: String,
    pub description: String,
    pub mode: Option<ModeOption>,
    pub flags: Flags,
    pub deprecated: Option<LitStr>,
    pub default: Option<Expr>,
    pub one_of: Option<Expr>,
    pub equal: Option<Expr>,
    pub omitted: Option<Expr>,
    pub validate: Vec<Expr>,
    pub validate_each: Vec<Expr>,
    pub block: Option<BlockOptions>,
}

/// Who sets the attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModeOption {
    Required,
    Optional,
    OptionalComputed,
    Computed,
}

/// Properties without an argument.
#[derive(Default)]
pub(crate) struct Flags(Vec<&'static str>);

impl Flags {
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains(&flag)
    }
}

#[derive(Default)]
pub(crate) struct BlockOptions {
    pub min: Option<LitInt>,
    pub max: Option<LitInt>,
    pub is_group: bool,
}

const FLAGS: [&str; 5] = ["sensitive", "write_only", "replace", "stable", "variadic"];

impl StructOptions {
    pub fn parse(input: &DeriveInput) -> syn::Result<Self> {
        let mut options = Self {
            description: docs::markdown(&input.attrs),
            ..Self::default()
        };
        for attribute in tf_attributes(&input.attrs) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("version") {
                    options.version = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("deprecated") {
                    options.deprecated = Some(meta.value()?.parse()?);
                } else {
                    return Err(meta.error("expected `version` or `deprecated`"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// The named fields of a struct.
pub(crate) fn fields(input: &DeriveInput) -> syn::Result<Vec<FieldOptions>> {
    let refused = || {
        syn::Error::new(
            Span::call_site(),
            "expected a struct with named fields and without generics",
        )
    };
    let Data::Struct(data) = &input.data else {
        return Err(refused());
    };
    if !input.generics.params.is_empty() {
        return Err(refused());
    }
    match &data.fields {
        Fields::Named(fields) => fields.named.iter().map(FieldOptions::parse).collect(),
        Fields::Unit => Ok(Vec::new()),
        Fields::Unnamed(_) => Err(refused()),
    }
}

impl FieldOptions {
    fn parse(field: &Field) -> syn::Result<Self> {
        let ident = field
            .ident
            .clone()
            .ok_or_else(|| syn::Error::new(field.span(), "expected a named field"))?;
        let name = ident.to_string();
        let mut options = Self {
            name: name.strip_prefix("r#").unwrap_or(&name).to_owned(),
            ident,
            ty: field.ty.clone(),
            description: docs::markdown(&field.attrs),
            mode: None,
            flags: Flags::default(),
            deprecated: None,
            default: None,
            one_of: None,
            equal: None,
            omitted: None,
            validate: Vec::new(),
            validate_each: Vec::new(),
            block: None,
        };
        for attribute in tf_attributes(&field.attrs) {
            attribute.parse_nested_meta(|meta| options.parse_one(&meta))?;
        }
        Ok(options)
    }

    fn parse_one(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let key = meta.path.require_ident()?.to_string();
        if let Some(flag) = FLAGS.into_iter().find(|flag| *flag == key) {
            self.flags.0.push(flag);
            return Ok(());
        }
        match key.as_str() {
            "required" | "optional" | "computed" => {
                self.mode = Some(match (self.mode, key.as_str()) {
                    (None, "required") => ModeOption::Required,
                    (None, "optional") => ModeOption::Optional,
                    (None, _) => ModeOption::Computed,
                    (Some(ModeOption::Optional), "computed") | (Some(ModeOption::Computed), "optional") => {
                        ModeOption::OptionalComputed
                    }
                    _ => return Err(meta.error("only `optional` and `computed` go together")),
                });
            }
            "name" => self.name = meta.value()?.parse::<LitStr>()?.value(),
            "deprecated" => self.deprecated = Some(meta.value()?.parse()?),
            "default" => self.default = Some(meta.value()?.parse()?),
            "one_of" => self.one_of = Some(meta.value()?.parse()?),
            "equal" => self.equal = Some(meta.value()?.parse()?),
            "omitted" => self.omitted = Some(meta.value()?.parse()?),
            "validate" => self.validate.push(meta.value()?.parse()?),
            "validate_each" => self.validate_each.push(meta.value()?.parse()?),
            "block" => self.block = Some(parse_block(meta)?),
            _ => return Err(meta.error("unknown property; see the documentation of `tfplugin`")),
        }
        Ok(())
    }
}

fn parse_block(meta: &ParseNestedMeta<'_>) -> syn::Result<BlockOptions> {
    let mut block = BlockOptions::default();
    if !meta.input.peek(syn::token::Paren) {
        return Ok(block);
    }
    meta.parse_nested_meta(|inner| {
        if inner.path.is_ident("min") {
            block.min = Some(inner.value()?.parse()?);
        } else if inner.path.is_ident("max") {
            block.max = Some(inner.value()?.parse()?);
        } else if inner.path.is_ident("group") {
            block.is_group = true;
        } else {
            return Err(inner.error("expected `min`, `max` or `group`"));
        }
        Ok(())
    })?;
    Ok(block)
}

fn tf_attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("tf"))
}
