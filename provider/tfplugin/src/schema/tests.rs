// SPDX-License-Identifier: Apache-2.0
//! Every load-time rule, broken once.

use super::*;
use crate::schema::{Attribute, Mode, check_function, check_identity, check_object};

const STRING: Kind = Kind::Value(Type::String);

fn object(attributes: impl IntoIterator<Item = Attribute>) -> ObjectSchema {
    ObjectSchema {
        attributes: attributes.into_iter().collect(),
        blocks: Vec::new(),
    }
}

fn optional(name: &str, kind: Kind) -> Attribute {
    Attribute::new(name, kind, Mode::Optional)
}

fn nested(nesting: Nesting, attributes: impl IntoIterator<Item = Attribute>) -> Kind {
    Kind::Nested {
        nesting,
        object: object(attributes),
    }
}

fn block(name: &str, nesting: Nesting) -> NestedBlock {
    NestedBlock::new(name, nested(nesting, [optional("a", STRING)]))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_rule_is_checked() {
    use Surface::{Action, Managed, Provider};
    let dynamic = Kind::Value(Type::Dynamic);
    let with_block = |block| ObjectSchema {
        attributes: Vec::new(),
        blocks: vec![block],
    };
    let mut blocks_inside = nested(Nesting::Single, [optional("a", STRING)]);
    if let Kind::Nested { object, .. } = &mut blocks_inside {
        object.blocks.push(block("b", Nesting::List));
    }
    let cases = [
        // (surface, schema, problem)
        (Managed, object([optional("good_name1", STRING)]), ""),
        (Managed, object([optional("Bad", STRING)]), "`Bad` is not a valid name"),
        (Managed, object([optional("1a", STRING)]), "`1a` is not a valid name"),
        (
            Managed,
            object([optional("a", STRING), optional("a", STRING)]),
            "`a` is declared twice",
        ),
        (
            Managed,
            object([optional("count", STRING)]),
            "`count` is a name that Terraform keeps for itself",
        ),
        (
            Managed,
            with_block(block("lifecycle", Nesting::List)),
            "`lifecycle` is a name that Terraform keeps for itself",
        ),
        (Managed, object([optional("version", STRING)]), ""),
        (
            Provider,
            object([optional("version", STRING)]),
            "`version` is a name that Terraform keeps for itself",
        ),
        (
            Managed,
            object([optional("a", nested(Nesting::Single, [optional("count", STRING)]))]),
            "",
        ),
        (Managed, object([optional("a", STRING).write_only()]), ""),
        (
            Managed,
            object([Attribute::new("a", STRING, Mode::OptionalComputed).write_only()]),
            "`a` is write-only and computed",
        ),
        (
            Managed,
            object([optional(
                "s",
                nested(Nesting::Set, [optional("a", STRING).write_only()]),
            )]),
            "`s.a` is write-only inside a set",
        ),
        (
            Provider,
            object([optional("a", STRING).write_only()]),
            "`a` is write-only, which only managed resources may have",
        ),
        (Managed, object([optional("a", STRING).default("x")]), ""),
        (
            Managed,
            object([optional("a", STRING).default("x").one_of(["y"])]),
            "`a` has a default that its own validator refuses",
        ),
        (
            Managed,
            object([optional("a", STRING).default(1)]),
            "`a` has a default of another type",
        ),
        (
            Managed,
            object([Attribute::new("a", STRING, Mode::Required).default("x")]),
            "`a` has a default, but cannot be left out",
        ),
        (
            Action,
            object([optional("a", STRING).default("x")]).into_arguments(),
            "",
        ),
        (
            Action,
            object([Attribute::new("a", STRING, Mode::Computed)]),
            "`a` is computed, but nothing computes it here",
        ),
        (
            Managed,
            object([optional("a", STRING).stable()]),
            "`a` is stable, but not computed",
        ),
        (
            Managed,
            object([Attribute::new("a", STRING, Mode::Computed).one_of(["x"])]),
            "`a` has a validator, but cannot be configured",
        ),
        (
            Managed,
            object([optional("a", Kind::Value(Type::list(Type::set(Type::Dynamic))))]),
            "`a` has a dynamic type inside a set",
        ),
        (
            Managed,
            object([optional("a", nested(Nesting::List, [optional("b", dynamic)]))]),
            "`a` has a dynamic type inside a collection",
        ),
        (
            Managed,
            object([optional("a", nested(Nesting::Single, []))]),
            "`a` has no nested attributes",
        ),
        (
            Managed,
            object([optional("a", nested(Nesting::Group, [optional("b", STRING)]))]),
            "`a` is a group, which only blocks can be",
        ),
        (
            Managed,
            object([optional("a", blocks_inside)]),
            "`a` has blocks inside a nested attribute",
        ),
        (Managed, with_block(block("b", Nesting::List).min(1).max(3)), ""),
        (Managed, with_block(block("b", Nesting::Single).min(1).max(1)), ""),
        (
            Managed,
            with_block(block("b", Nesting::Single).max(2)),
            "`b` has limits that its nesting does not allow",
        ),
        (
            Managed,
            with_block(block("b", Nesting::Single).max(1)),
            "`b` has limits that its nesting does not allow",
        ),
        (
            Managed,
            with_block(block("b", Nesting::Map).max(2)),
            "`b` has limits that its nesting does not allow",
        ),
        (
            Managed,
            with_block(block("b", Nesting::Set).min(2).max(1)),
            "`b` has limits that its nesting does not allow",
        ),
        (
            Managed,
            with_block(NestedBlock::new("b", STRING)),
            "`b` is a block without content; its type must derive `Object`",
        ),
    ];
    for (surface, schema, want) in cases {
        assert_eq!(check_object(surface, &schema).join("; "), want, "{schema:?}");
    }
}

#[test]
fn identities_and_functions_have_rules_too() {
    let list = |ty| Kind::Value(Type::list(ty));
    let required = |kind| object([Attribute::new("a", kind, Mode::Required)]);
    assert_eq!(check_identity(&required(STRING)), [""; 0]);
    assert_eq!(check_identity(&required(list(Type::String))), [""; 0]);
    for kind in [
        list(Type::Dynamic),
        Kind::Value(Type::map(Type::String)),
        nested(Nesting::Single, []),
    ] {
        assert_eq!(
            check_identity(&required(kind)),
            ["`a` must be a primitive or a list of primitives"]
        );
    }
    let computed = object([Attribute::new("a", STRING, Mode::Computed)]);
    assert_eq!(
        check_identity(&computed),
        ["`a` must be required or optional for import"]
    );

    let parameter = |name: &str| Parameter {
        name: name.to_owned(),
        ty: Type::String,
        description: String::new(),
        allows_null: false,
        allows_unknown: false,
    };
    let function = FunctionSchema {
        summary: String::new(),
        description: String::new(),
        deprecation: None,
        parameters: vec![parameter("a"), parameter("A")],
        variadic: Some(parameter("a")),
        returns: Type::Bool,
    };
    assert_eq!(
        check_function("f", &function),
        ["`A` is not a valid name", "`a` is declared twice"]
    );
    assert_eq!(function.signature("f"), "f(a string, A string, a string...) bool");
}
