// SPDX-License-Identifier: Apache-2.0
//! Properties of the codecs.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::String),
        Just(Type::Number),
        Just(Type::Bool),
        Just(Type::Dynamic)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            btree_map("[a-c]", inner.clone(), 0..4).prop_map(Type::Object),
            vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

fn any_number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        "-?[0-9]{1,40}(\\.[0-9]{1,20})?".prop_map(|text| text.parse().unwrap()),
        any::<f64>().prop_filter_map("finite", |float| Number::try_from(float).ok()),
    ]
}

/// A value of the type, in the form that decoding gives.
fn value_of(ty: &Type, allows_unknown: bool) -> BoxedStrategy<Value> {
    let known: BoxedStrategy<Value> = match ty {
        Type::String => "\\PC{0,8}".prop_map(Value::String).boxed(),
        Type::Number => any_number().prop_map(Value::Number).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Dynamic => any_type()
            .prop_filter("Terraform never nests dynamic types", |ty| !ty.has_dynamic())
            .prop_flat_map(move |ty| {
                value_of(&ty, allows_unknown).prop_map(move |value| Value::Dynamic(Box::new((ty.clone(), value))))
            })
            .boxed(),
        Type::List(element) | Type::Set(element) => vec(value_of(element, allows_unknown), 0..4)
            .prop_map(Value::List)
            .boxed(),
        Type::Map(element) => btree_map("[a-z]{0,3}", value_of(element, allows_unknown), 0..4)
            .prop_map(Value::Map)
            .boxed(),
        Type::Object(attributes) => {
            let members = attributes.iter().map(|(name, ty)| {
                let name = name.clone();
                value_of(ty, allows_unknown)
                    .prop_map(move |value| (name.clone(), value))
                    .boxed()
            });
            members
                .collect::<Vec<_>>()
                .prop_map(|members| Value::Map(members.into_iter().collect()))
                .boxed()
        }
        Type::Tuple(elements) => {
            let members: Vec<_> = elements.iter().map(|ty| value_of(ty, allows_unknown)).collect();
            members.prop_map(Value::List).boxed()
        }
    };
    let unknown = u32::from(allows_unknown);
    prop_oneof![8 => known, 1 => Just(Value::Null), unknown => Just(Value::Unknown)].boxed()
}

fn typed_value(allows_unknown: bool) -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(move |ty| {
        let value = value_of(&ty, allows_unknown);
        (Just(ty), value)
    })
}

/// The JSON that Terraform stores for a value.
fn stored(ty: &Type, value: &Value) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(","));
    let object = |items: Vec<String>| format!("{{{}}}", items.join(","));
    let member = |name: &str, text: String| format!("{}:{text}", serde_json::Value::from(name));
    match (ty, value) {
        (Type::Dynamic, Value::Dynamic(inner)) => {
            format!(
                "{{\"type\":{},\"value\":{}}}",
                inner.0.to_json(),
                stored(&inner.0, &inner.1)
            )
        }
        (_, Value::String(text)) => serde_json::Value::from(text.as_str()).to_string(),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::Bool(truth)) => truth.to_string(),
        (Type::List(element) | Type::Set(element), Value::List(items)) => {
            list(items.iter().map(|item| stored(element, item)).collect())
        }
        (Type::Tuple(elements), Value::List(items)) => {
            list(elements.iter().zip(items).map(|(ty, item)| stored(ty, item)).collect())
        }
        (Type::Map(element), Value::Map(items)) => object(
            items
                .iter()
                .map(|(key, item)| member(key, stored(element, item)))
                .collect(),
        ),
        (Type::Object(attributes), Value::Map(items)) => object(
            items
                .iter()
                .map(|(name, item)| member(name, stored(&attributes[name], item)))
                .collect(),
        ),
        _ => "null".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_value_survives_messagepack((ty, value) in typed_value(true)) {
        let bytes = encode(&ty, &value).unwrap();
        let back = decode(&ty, &bytes).unwrap();
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(encode(&ty, &back).unwrap(), bytes);
    }

    #[test]
    fn a_value_survives_stored_json((ty, value) in typed_value(false)) {
        let back = decode_json(&ty, stored(&ty, &value).as_bytes()).unwrap();
        prop_assert!(same(&ty, &back, &value), "{:?} != {:?}", back, value);
    }

    #[test]
    fn a_type_survives_json(ty in any_type()) {
        prop_assert_eq!(Type::from_json(ty.to_json().as_bytes()).unwrap(), ty);
    }

    #[test]
    fn hostile_bytes_never_panic(ty in any_type(), bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&ty, &bytes);
        let _ = decode_json(&ty, &bytes);
        let _ = Type::from_json(&bytes);
    }

    #[test]
    fn damaged_values_never_panic((ty, value) in typed_value(true), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&ty, &value).unwrap();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(value) = decode(&ty, &bytes) {
            let _ = encode(&ty, &value);
        }
    }

    #[test]
    fn the_order_of_a_set_does_not_matter(items in vec(value_of(&Type::list(Type::Number), true), 0..5)) {
        let ty = Type::set(Type::list(Type::Number));
        let mut reversed = items.clone();
        reversed.reverse();
        prop_assert!(same(&ty, &Value::List(items), &Value::List(reversed)));
    }
}

#[test]
fn bytes_are_terraforms() {
    let object = Type::object([("a", Type::String), ("b", Type::Number)]);
    let dynamic = Value::Dynamic(Box::new((Type::String, Value::from("x"))));
    let cases: [(&str, Type, Value, &[u8]); 11] = [
        ("null", Type::String, Value::Null, b"\xc0"),
        ("unknown", Type::String, Value::Unknown, b"\xd4\x00\x00"),
        ("small integer", Type::Number, Value::from(7), b"\x07"),
        (
            "beyond 2^53",
            Type::Number,
            Value::from(9_007_199_254_740_993_i64),
            b"\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
        ),
        ("negative", Type::Number, Value::from(-200), b"\xd1\xff\x38"),
        (
            "exact float",
            Type::Number,
            Value::from(0.5),
            b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00",
        ),
        (
            "inexact decimal",
            Type::Number,
            Value::Number("0.1".parse().unwrap()),
            b"\xa30.1",
        ),
        (
            "absent attribute",
            object.clone(),
            Value::object([("b", 1)]),
            b"\x82\xa1a\xc0\xa1b\x01",
        ),
        (
            "extra attribute",
            object,
            Value::object([("a", "x"), ("z", "y")]),
            b"\x82\xa1a\xa1x\xa1b\xc0",
        ),
        ("dynamic", Type::Dynamic, dynamic, b"\x92\xc4\x08\"string\"\xa1x"),
        ("dynamic unknown", Type::Dynamic, Value::Unknown, b"\xd4\x00\x00"),
    ];
    for (what, ty, value, bytes) in cases {
        assert_eq!(encode(&ty, &value).unwrap(), bytes, "{what}");
    }
}

#[test]
fn every_extension_is_an_unknown_value() {
    let refined = b"\xc7\x03\x0c\x81\x01\xc2"; // type 12 with a refinement
    for bytes in [b"\xd4\x00\x00".as_slice(), refined, b"\xd4\x2a\x01"] {
        assert_eq!(decode(&Type::list(Type::String), bytes).unwrap(), Value::Unknown);
    }
}

#[test]
fn wrong_and_absurd_values_are_refused() {
    let mut deep = vec![0x91; 500];
    deep.push(0xc0);
    let nested = (0..99).fold(Type::String, |ty, _| Type::list(ty));
    let cases: [(&str, Type, &[u8], &str); 8] = [
        ("empty", Type::String, b"", "malformed or too deeply nested MessagePack"),
        (
            "truncated",
            Type::String,
            b"\xa5ab",
            "malformed or too deeply nested MessagePack",
        ),
        (
            "two values",
            Type::String,
            b"\xa1a\xa1b",
            "unexpected bytes after the value",
        ),
        ("too deep", nested, &deep, "malformed or too deeply nested MessagePack"),
        ("other type", Type::Bool, b"\xa1a", "expected bool"),
        ("not UTF-8", Type::String, b"\xa1\xff", "not valid UTF-8"),
        (
            "infinite",
            Type::Number,
            b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
            "expected number",
        ),
        (
            "in a list",
            Type::list(Type::Bool),
            b"\x92\xc2\x01",
            "[1]: expected bool",
        ),
    ];
    for (what, ty, bytes, message) in cases {
        assert_eq!(decode(&ty, bytes).unwrap_err().to_string(), message, "{what}");
    }
    let deep_json = "[".repeat(5_000);
    assert!(decode_json(&Type::Dynamic, deep_json.as_bytes()).is_err());
    assert!(Type::from_json(format!("{}\"string\"{}", "[\"list\",".repeat(101), "]".repeat(101)).as_bytes()).is_err());
}

#[test]
fn stored_state_is_read_tolerantly() {
    let ty = Type::object([("name", Type::String), ("size", Type::Number), ("on", Type::Bool)]);
    let json = br#" { "gone": [1], "size": "12345678901234567890.5", "name": 7, "on": "true" } "#;
    let value = decode_json(&ty, json).unwrap();
    let size: Number = "12345678901234567890.5".parse().unwrap();
    assert_eq!(value.get("name"), &Value::from("7"));
    assert_eq!(value.get("size"), &Value::Number(size));
    assert_eq!(value.get("on"), &Value::from(true));
    assert_eq!(decode_json(&ty, b"{}").unwrap().get("name"), &Value::Null);
}
