// SPDX-License-Identifier: Apache-2.0
//! Schemas as Terraform receives them.

use super::{Attribute, FunctionSchema, Kind, Mode, NestedBlock, Nesting, ObjectSchema, Parameter, Schema};
use crate::{Type, proto};

const MARKDOWN: i32 = proto::StringKind::Markdown as i32;

fn constraint(ty: &Type) -> Vec<u8> {
    ty.to_json().into_bytes()
}

impl Schema {
    pub(crate) fn to_proto(&self) -> proto::Schema {
        let block = block(self.version, &self.object, &self.description, self.deprecation.as_ref());
        proto::Schema {
            version: self.version,
            block: Some(block),
        }
    }
}

impl ObjectSchema {
    /// As the schema of a resource identity.
    pub(crate) fn to_identity_proto(&self, version: i64) -> proto::IdentitySchema {
        let attributes = self
            .attributes
            .iter()
            .map(|attribute| proto::identity_schema::IdentityAttribute {
                name: attribute.name.clone(),
                r#type: constraint(&attribute.kind.ty()),
                required_for_import: attribute.mode == Mode::Required,
                optional_for_import: attribute.mode == Mode::Optional,
                description: attribute.description.clone(),
            });
        proto::IdentitySchema {
            version,
            identity_attributes: attributes.collect(),
        }
    }
}

impl FunctionSchema {
    pub(crate) fn to_proto(&self) -> proto::Function {
        proto::Function {
            parameters: self.parameters.iter().map(parameter).collect(),
            variadic_parameter: self.variadic.as_ref().map(parameter),
            r#return: Some(proto::function::Return {
                r#type: constraint(&self.returns),
            }),
            summary: self.summary.clone(),
            description: self.description.clone(),
            description_kind: MARKDOWN,
            deprecation_message: self.deprecation.clone().unwrap_or_default(),
        }
    }
}

fn parameter(parameter: &Parameter) -> proto::function::Parameter {
    proto::function::Parameter {
        name: parameter.name.clone(),
        r#type: constraint(&parameter.ty),
        allow_null_value: parameter.allows_null,
        allow_unknown_values: parameter.allows_unknown,
        description: parameter.description.clone(),
        description_kind: MARKDOWN,
    }
}

fn block(version: i64, object: &ObjectSchema, description: &str, deprecation: Option<&String>) -> proto::Block {
    proto::Block {
        version,
        attributes: object.attributes.iter().map(attribute).collect(),
        block_types: object.blocks.iter().map(nested_block).collect(),
        description: description.to_owned(),
        description_kind: MARKDOWN,
        deprecated: deprecation.is_some(),
        deprecation_message: deprecation.cloned().unwrap_or_default(),
        computed: false,
    }
}

fn attribute(attribute: &Attribute) -> proto::Attribute {
    let (ty, nested_type) = match &attribute.kind {
        Kind::Value(ty) => (constraint(ty), None),
        Kind::Nested { nesting, object } => (Vec::new(), Some(nested_object(*nesting, object))),
    };
    proto::Attribute {
        name: attribute.name.clone(),
        r#type: ty,
        description: attribute.description.clone(),
        required: attribute.mode == Mode::Required,
        optional: matches!(attribute.mode, Mode::Optional | Mode::OptionalComputed),
        computed: attribute.mode.is_computed(),
        sensitive: attribute.is_sensitive,
        description_kind: MARKDOWN,
        deprecated: attribute.deprecation.is_some(),
        nested_type,
        write_only: attribute.is_write_only,
        deprecation_message: attribute.deprecation.clone().unwrap_or_default(),
    }
}

fn nested_object(nesting: Nesting, object: &ObjectSchema) -> proto::NestedObject {
    use proto::nested_object::Nesting as Wire;
    let nesting = match nesting {
        Nesting::Single => Wire::Single,
        Nesting::List => Wire::List,
        Nesting::Set => Wire::Set,
        Nesting::Map => Wire::Map,
        Nesting::Group => Wire::Invalid, // refused by the schema check
    };
    proto::NestedObject {
        attributes: object.attributes.iter().map(attribute).collect(),
        nesting: nesting.into(),
    }
}

fn nested_block(nested: &NestedBlock) -> proto::NestedBlock {
    use proto::nested_block::Nesting as Wire;
    let nesting = match nested.nesting {
        Nesting::Single => Wire::Single,
        Nesting::List => Wire::List,
        Nesting::Set => Wire::Set,
        Nesting::Map => Wire::Map,
        Nesting::Group => Wire::Group,
    };
    proto::NestedBlock {
        type_name: nested.name.clone(),
        block: Some(block(
            0,
            &nested.object,
            &nested.description,
            nested.deprecation.as_ref(),
        )),
        nesting: nesting.into(),
        min_items: nested.min_items.into(),
        max_items: nested.max_items.into(),
    }
}
