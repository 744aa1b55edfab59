// SPDX-License-Identifier: Apache-2.0
//! What a provider tells Terraform, its documentation and the planning engine about its objects.

mod attribute;
mod check;
mod function;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;

pub use attribute::{Attribute, Equality, Mode, Validator};
pub(crate) use check::is_name;
pub use check::{Surface, check_function, check_identity, check_object};
pub use function::{FunctionSchema, Parameter};

use crate::{Path, Type};

/// The schema of a resource, data source, provider block or other configured object.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Version of the state's shape. Only meaningful for managed resources.
    pub version: i64,
    /// Markdown; the first line is a sentence of its own.
    pub description: String,
    /// Why not to use it any more, and what instead.
    pub deprecation: Option<String>,
    /// Attributes and blocks.
    pub object: ObjectSchema,
}

/// Attributes and nested blocks.
#[derive(Clone, Debug, Default)]
pub struct ObjectSchema {
    /// The attributes, in the order of declaration.
    pub attributes: Vec<Attribute>,
    /// The nested blocks, in the order of declaration.
    pub blocks: Vec<NestedBlock>,
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value of a plain type.
    Value(Type),
    /// Objects that have a schema of their own.
    Nested {
        /// One object or a collection of them.
        nesting: Nesting,
        /// The schema of each.
        object: ObjectSchema,
    },
}

/// How nested objects are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// At most one object.
    Single,
    /// Objects in order.
    List,
    /// Objects without order.
    Set,
    /// Objects by name.
    Map,
    /// Exactly one object, whether it is written or not. Blocks only.
    Group,
}

/// A nested block, such as `rule { … }`. Prefer nested attributes for new schemas.
#[derive(Clone, Debug)]
pub struct NestedBlock {
    /// The block's type name.
    pub name: String,
    /// Markdown.
    pub description: String,
    /// Why not to use it any more, and what instead.
    pub deprecation: Option<String>,
    /// How many there may be.
    pub nesting: Nesting,
    /// Attributes and blocks of each.
    pub object: ObjectSchema,
    /// Least number of blocks; lists and sets only, or 0 and 1 for single ones.
    pub min_items: u32,
    /// Greatest number of blocks; 0 means any.
    pub max_items: u32,
}

impl ObjectSchema {
    /// The object type that values of this schema have.
    #[must_use]
    pub fn ty(&self) -> Type {
        let attributes = self
            .attributes
            .iter()
            .map(|attribute| (attribute.name.clone(), attribute.kind.ty()));
        let blocks = self.blocks.iter().map(|block| (block.name.clone(), block.ty()));
        Type::Object(attributes.chain(blocks).collect::<BTreeMap<_, _>>())
    }

    /// The attribute called `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The schema with nothing computed, for objects that are only configured.
    pub(crate) fn into_arguments(mut self) -> Self {
        for attribute in &mut self.attributes {
            if attribute.mode == Mode::OptionalComputed {
                attribute.mode = Mode::Optional;
            }
            if let Kind::Nested { object, .. } = &mut attribute.kind {
                *object = std::mem::take(object).into_arguments();
            }
        }
        for block in &mut self.blocks {
            block.object = std::mem::take(&mut block.object).into_arguments();
        }
        self
    }

    /// The paths of attributes and blocks without a description, at any depth.
    #[must_use]
    pub fn undocumented(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        for attribute in &self.attributes {
            let path = Path::new(&attribute.name);
            if let Kind::Nested { object, .. } = &attribute.kind {
                paths.extend(object.undocumented().iter().map(|inner| path.clone().join(inner)));
            }
            if attribute.description.is_empty() {
                paths.push(path);
            }
        }
        for block in &self.blocks {
            let path = Path::new(&block.name);
            paths.extend(block.object.undocumented().iter().map(|inner| path.clone().join(inner)));
            if block.description.is_empty() {
                paths.push(path);
            }
        }
        paths
    }
}

impl Kind {
    /// The type of the values.
    #[must_use]
    pub fn ty(&self) -> Type {
        match self {
            Self::Value(ty) => ty.clone(),
            Self::Nested { nesting, object } => nesting.wrap(object.ty()),
        }
    }
}

impl Nesting {
    fn wrap(self, object: Type) -> Type {
        match self {
            Self::Single | Self::Group => object,
            Self::List => Type::list(object),
            Self::Set => Type::set(object),
            Self::Map => Type::map(object),
        }
    }
}

impl NestedBlock {
    /// A block that holds what `kind` says. Used by derived code.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        let (nesting, object) = match kind {
            Kind::Nested { nesting, object } => (nesting, object),
            // The schema check reports a block without a schema, by its lack of content.
            Kind::Value(_) => (Nesting::Single, ObjectSchema::default()),
        };
        let (name, description) = (name.into(), String::new());
        Self {
            name,
            description,
            deprecation: None,
            nesting,
            object,
            min_items: 0,
            max_items: 0,
        }
    }

    /// Sets the description.
    #[must_use]
    pub fn describe(mut self, markdown: &str) -> Self {
        markdown.clone_into(&mut self.description);
        self
    }

    /// Sets the deprecation message.
    #[must_use]
    pub fn deprecate(mut self, message: &str) -> Self {
        self.deprecation = Some(message.to_owned());
        self
    }

    /// Sets how many blocks there must be at least.
    #[must_use]
    pub fn min(mut self, items: u32) -> Self {
        self.min_items = items;
        self
    }

    /// Sets how many blocks there may be at most.
    #[must_use]
    pub fn max(mut self, items: u32) -> Self {
        self.max_items = items;
        self
    }

    /// Makes a single block one that is always present.
    #[must_use]
    pub fn group(mut self) -> Self {
        self.nesting = Nesting::Group;
        self
    }

    fn ty(&self) -> Type {
        let object = self.object.ty();
        match self.nesting {
            // Lists of objects with dynamic parts travel as tuples; the engine refuses such schemas.
            Nesting::List => Type::list(object),
            nesting => nesting.wrap(object),
        }
    }
}
