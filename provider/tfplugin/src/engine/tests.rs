// SPDX-License-Identifier: Apache-2.0
//! The engine's decisions as tables.

use serde_json::{Value as Json, json};

use super::*;
use crate::schema::{Attribute, Equality, Kind, Mode, ObjectSchema, Validator};
use crate::{Path, Type, Value};

const STRING: Kind = Kind::Value(Type::String);

fn ignoring_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn is_plain(text: &str) -> bool {
    text == "plain"
}

fn element() -> ObjectSchema {
    ObjectSchema {
        attributes: vec![
            Attribute::new("key", STRING, Mode::Required),
            Attribute::new("kind", STRING, Mode::Optional).default("a"),
            Attribute::new("seen", STRING, Mode::Computed),
        ],
        blocks: Vec::new(),
    }
}

fn simple_element() -> ObjectSchema {
    let key = Attribute::new("key", STRING, Mode::Required).equality(Equality::new::<String, _, _>(ignoring_case));
    ObjectSchema {
        attributes: vec![key, Attribute::new("kind", STRING, Mode::Optional).default("a")],
        blocks: Vec::new(),
    }
}

fn schema() -> ObjectSchema {
    let nested = |nesting, object| Kind::Nested { nesting, object };
    let case = Equality::new::<String, _, _>(ignoring_case);
    let block = NestedBlock::new("rule", nested(Nesting::List, element()));
    let set_block = NestedBlock::new("tag", nested(Nesting::Set, simple_element()));
    ObjectSchema {
        attributes: vec![
            Attribute::new("name", STRING, Mode::Required).replace(),
            Attribute::new("text", STRING, Mode::Optional).equality(case),
            Attribute::new("mode", STRING, Mode::Optional).default("soft"),
            Attribute::new("zone", STRING, Mode::OptionalComputed),
            Attribute::new("style", STRING, Mode::Optional).omitted(Validator::accepts::<String, _, _>(is_plain)),
            Attribute::new("labels", Kind::Value(Type::set(Type::String)), Mode::Optional),
            Attribute::new("secret", STRING, Mode::Optional).write_only(),
            Attribute::new("arn", STRING, Mode::Computed).stable(),
            Attribute::new("count_of", Kind::Value(Type::Number), Mode::Computed),
            Attribute::new("list", nested(Nesting::List, element()), Mode::Optional),
            Attribute::new("map", nested(Nesting::Map, element()), Mode::Optional),
            Attribute::new("set", nested(Nesting::Set, simple_element()), Mode::Optional),
            Attribute::new("one", nested(Nesting::Single, element()), Mode::Optional),
        ],
        blocks: vec![block, set_block],
    }
}

/// A value from JSON; `"?"` is unknown.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => Value::Number(number.to_string().parse().unwrap()),
        Json::String(text) if text == "?" => Value::Unknown,
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(items) => Value::Map(items.iter().map(|(key, item)| (key.clone(), value(item))).collect()),
    }
}

fn whole(json: &Json) -> Value {
    complete(&schema(), value(json))
}

/// What `json` says and nothing else: null members and empty lists are left out.
fn brief(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Unknown => "?".into(),
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => number.to_i64().unwrap().into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(brief).collect(),
        Value::Map(items) => {
            let members = items.iter().map(|(key, item)| (key.clone(), brief(item)));
            Json::Object(
                members
                    .filter(|(_, item)| !item.is_null() && *item != json!([]))
                    .collect(),
            )
        }
        Value::Dynamic(inner) => brief(&inner.1),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn planning() {
    let state = json!({"name": "n", "text": "Hi", "mode": "soft", "zone": "z", "arn": "arn:n", "count_of": 1});
    let with = |base: &Json, more: Json| {
        let mut all = base.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let changed = json!({"name": "n", "text": "Hi", "mode": "soft", "zone": "?", "arn": "arn:n", "count_of": "?"});
    let element = json!({"key": "k", "kind": "a", "seen": "yes"});
    let cases = [
        // (what it shows, prior, config, planned, replaced)
        (
            "a create fills defaults and leaves the rest to the provider",
            json!(null),
            json!({"name": "n", "secret": "s"}),
            json!({"name": "n", "mode": "soft", "zone": "?", "arn": "?", "count_of": "?"}),
            "",
        ),
        (
            "no change keeps everything",
            state.clone(),
            json!({"name": "n", "text": "Hi"}),
            state.clone(),
            "",
        ),
        (
            "the same meaning keeps the prior text",
            state.clone(),
            json!({"name": "n", "text": "HI"}),
            state.clone(),
            "",
        ),
        (
            "a change keeps only what is stable",
            state.clone(),
            json!({"name": "n", "text": "Bye"}),
            with(&changed, json!({"text": "Bye"})),
            "",
        ),
        (
            "a removed argument is null",
            state.clone(),
            json!({"name": "n"}),
            json!({"name": "n", "mode": "soft", "zone": "?", "arn": "arn:n", "count_of": "?"}),
            "",
        ),
        (
            "a removed argument with a default falls back to it",
            with(&state, json!({"mode": "hard"})),
            json!({"name": "n", "text": "Hi"}),
            changed.clone(),
            "",
        ),
        (
            "a changed name needs a new object",
            state.clone(),
            json!({"name": "m", "text": "Hi"}),
            with(&changed, json!({"name": "m"})),
            "name",
        ),
        (
            "an unknown name may need a new object",
            state.clone(),
            json!({"name": "?", "text": "Hi"}),
            with(&changed, json!({"name": "?"})),
            "name",
        ),
        (
            "a write-only argument is no difference",
            state.clone(),
            json!({"name": "n", "text": "Hi", "secret": "new"}),
            state.clone(),
            "",
        ),
        (
            "a computed argument may be set",
            state.clone(),
            json!({"name": "n", "text": "Hi", "zone": "mine"}),
            with(&changed, json!({"zone": "mine"})),
            "",
        ),
        (
            "the order of a set is no difference",
            with(&state, json!({"labels": ["a", "b"]})),
            json!({"name": "n", "text": "Hi", "labels": ["b", "a"]}),
            with(&state, json!({"labels": ["a", "b"]})),
            "",
        ),
        (
            "list elements correspond by position",
            with(&state, json!({"list": [element.clone()]})),
            json!({"name": "n", "text": "Hi", "list": [{"key": "k"}, {"key": "l", "kind": "b"}]}),
            with(
                &changed,
                json!({"list": [{"key": "k", "kind": "a", "seen": "?"}, {"key": "l", "kind": "b", "seen": "?"}]}),
            ),
            "",
        ),
        (
            "an unchanged list keeps what the provider computed in it",
            with(
                &state,
                json!({"list": [element.clone()], "one": element.clone(), "rule": [element.clone()]}),
            ),
            json!({"name": "n", "text": "Hi", "list": [{"key": "k"}], "one": {"key": "k"}, "rule": [{"key": "k"}]}),
            with(
                &state,
                json!({"list": [element.clone()], "one": element.clone(), "rule": [element.clone()]}),
            ),
            "",
        ),
        (
            "map elements correspond by key",
            with(&state, json!({"map": {"x": element.clone()}})),
            json!({"name": "n", "text": "Hi", "map": {"x": {"key": "k"}, "y": {"key": "l"}}}),
            with(
                &changed,
                json!({"map": {"x": {"key": "k", "kind": "a", "seen": "?"}, "y": {"key": "l", "kind": "a", "seen": "?"}}}),
            ),
            "",
        ),
        (
            "a set of the same meaning keeps its text, in an attribute and not in a block",
            with(
                &state,
                json!({"set": [{"key": "K", "kind": "a"}], "tag": [{"key": "K", "kind": "a"}]}),
            ),
            json!({"name": "n", "text": "Hi", "set": [{"key": "k"}], "tag": [{"key": "k"}]}),
            with(
                &state,
                json!({"set": [{"key": "K", "kind": "a"}], "tag": [{"key": "k", "kind": "a"}]}),
            ),
            "",
        ),
        (
            "a changed set is planned as written",
            with(&state, json!({"set": [{"key": "K", "kind": "a"}]})),
            json!({"name": "n", "text": "Hi", "set": [{"key": "k"}, {"key": "l"}]}),
            with(
                &changed,
                json!({"set": [{"key": "k", "kind": "a"}, {"key": "l", "kind": "a"}]}),
            ),
            "",
        ),
        (
            "an unknown list is planned as unknown",
            with(&state, json!({"list": [element]})),
            json!({"name": "n", "text": "Hi", "list": "?"}),
            with(&changed, json!({"list": "?"})),
            "",
        ),
    ];
    for (what, prior, config, want, replaced) in cases {
        let (prior, config) = (whole(&prior), whole(&config));
        let planned = planned(&schema(), &prior, &config);
        assert_eq!(brief(&planned), want, "{what}");
        let paths: Vec<_> = replacements(&schema(), &prior, &planned)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(paths.join(" "), replaced, "{what}");
    }
}

#[test]
fn replacement_inside_collections() {
    let mut object = element();
    object.attributes[0] = object.attributes[0].clone().replace();
    let nested = |name: &str, nesting| {
        Attribute::new(
            name,
            Kind::Nested {
                nesting,
                object: object.clone(),
            },
            Mode::Optional,
        )
    };
    let schema = ObjectSchema {
        attributes: vec![
            nested("list", Nesting::List),
            nested("map", Nesting::Map),
            nested("set", Nesting::Set),
        ],
        blocks: Vec::new(),
    };
    let prior = value(&json!({"list": [{"key": "a"}], "map": {"x": {"key": "a"}}, "set": [{"key": "a"}]}));
    let cases = [
        (
            json!({"list": [{"key": "a", "kind": "z"}], "map": {"x": {"key": "a"}}, "set": [{"key": "a"}]}),
            "",
        ),
        (
            json!({"list": [{"key": "b"}], "map": {"x": {"key": "a"}}, "set": [{"key": "a"}]}),
            "list[0].key",
        ),
        (
            json!({"list": [{"key": "a"}], "map": {"x": {"key": "b"}}, "set": [{"key": "a"}]}),
            "map[\"x\"].key",
        ),
        (
            json!({"list": [{"key": "a"}], "map": {"x": {"key": "a"}}, "set": [{"key": "b"}]}),
            "set",
        ),
        (
            json!({"list": [{"key": "a"}, {"key": "b"}], "map": {"x": {"key": "a"}}, "set": [{"key": "a"}]}),
            "list[1].key",
        ),
    ];
    for (planned, want) in cases {
        let paths: Vec<_> = replacements(&schema, &prior, &value(&planned))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(paths.join(" "), want, "{planned}");
    }
}

#[test]
fn keeping_the_users_text() {
    let cases = [
        // (what it shows, reference, answer of the server, result)
        (
            "same meaning",
            json!({"text": "Hi"}),
            json!({"text": "hi"}),
            json!({"text": "Hi"}),
        ),
        (
            "other meaning",
            json!({"text": "Hi"}),
            json!({"text": "bye"}),
            json!({"text": "bye"}),
        ),
        (
            "default stands for absent",
            json!({}),
            json!({"style": "plain"}),
            json!({}),
        ),
        (
            "other than the default",
            json!({}),
            json!({"style": "bold"}),
            json!({"style": "bold"}),
        ),
        (
            "written default",
            json!({"style": "plain"}),
            json!({"style": "plain"}),
            json!({"style": "plain"}),
        ),
        ("write-only", json!({}), json!({"secret": "s"}), json!({})),
        (
            "unknown in the plan",
            json!({"text": "?"}),
            json!({"text": "x"}),
            json!({"text": "x"}),
        ),
        (
            "order of a set",
            json!({"labels": ["a", "b"]}),
            json!({"labels": ["b", "a"]}),
            json!({"labels": ["a", "b"]}),
        ),
        (
            "element of a set",
            json!({"set": [{"key": "K"}, {"key": "L"}]}),
            json!({"set": [{"key": "l"}, {"key": "new"}]}),
            json!({"set": [{"key": "L"}, {"key": "new"}]}),
        ),
        (
            "block",
            json!({"tag": [{"key": "K"}]}),
            json!({"tag": [{"key": "k"}]}),
            json!({"tag": [{"key": "K"}]}),
        ),
    ];
    for (what, reference, answer, want) in cases {
        let kept = keep_meaning(&schema(), &whole(&reference), whole(&answer));
        assert_eq!(brief(&kept), want, "{what}");
    }
}

#[test]
fn results_are_checked() {
    let element = |key: &str, seen: &str| json!({"key": key, "kind": "a", "seen": seen});
    let cases = [
        // (what it shows, planned, new, where it is wrong)
        (
            "as planned",
            json!({"name": "n", "arn": "?"}),
            json!({"name": "n", "arn": "x"}),
            "",
        ),
        ("changed", json!({"name": "n"}), json!({"name": "m"}), "name"),
        (
            "dropped",
            json!({"name": "n", "text": "t"}),
            json!({"name": "n"}),
            "text",
        ),
        (
            "invented",
            json!({"name": "n"}),
            json!({"name": "n", "text": "t"}),
            "text",
        ),
        (
            "inside a list",
            json!({"list": [element("k", "?")]}),
            json!({"list": [element("x", "y")]}),
            "list[0].key",
        ),
        (
            "shorter list",
            json!({"list": [element("k", "?")]}),
            json!({"list": []}),
            "list[0]",
        ),
        (
            "set may shrink",
            json!({"set": [{"key": "?"}, {"key": "k"}]}),
            json!({"set": [{"key": "k"}]}),
            "",
        ),
        (
            "set may not grow",
            json!({"set": [{"key": "?"}]}),
            json!({"set": [{"key": "k"}, {"key": "l"}]}),
            "set",
        ),
        (
            "set order",
            json!({"labels": ["a", "b"]}),
            json!({"labels": ["b", "a"]}),
            "",
        ),
    ];
    for (what, planned, new, want) in cases {
        let found = check_applied(&schema(), &whole(&planned), &whole(&new));
        let paths: Vec<_> = found.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(paths.join(" "), want, "{what}");
    }
    let gaps = check_known(&value(&json!({"a": "?", "b": [1, "?"], "c": {"d": "x"}})));
    let paths: Vec<_> = gaps.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(paths, ["a", "b[1]"]);
}

#[test]
fn validators_run_on_known_values_and_name_the_deepest_place() {
    fn short(text: &str) -> Result<(), String> {
        if text.len() <= 2 {
            Ok(())
        } else {
            Err(format!("`{text}` is too long"))
        }
    }
    let check = || Validator::new::<String, _, _, _>(short);
    let key = Attribute::new("key", STRING, Mode::Required).validate(check());
    let nested = |name: &str, nesting| {
        let object = ObjectSchema {
            attributes: vec![key.clone()],
            blocks: Vec::new(),
        };
        Attribute::new(name, Kind::Nested { nesting, object }, Mode::Optional)
    };
    let words = Type::list(Type::String);
    let schema = ObjectSchema {
        attributes: vec![
            key.clone(),
            Attribute::new("size", STRING, Mode::Optional).one_of(["S", "M"]),
            Attribute::new("words", Kind::Value(words.clone()), Mode::Optional)
                .validate(Validator::each(check(), &words)),
            nested("list", Nesting::List),
            nested("map", Nesting::Map),
            nested("set", Nesting::Set),
        ],
        blocks: Vec::new(),
    };
    let cases = [
        (json!({"key": "ok"}), ""),
        (json!({"key": "?", "words": ["?", "ok"], "list": "?"}), ""),
        (json!({"key": "long"}), "key"),
        (json!({"size": "XL"}), "size"),
        (json!({"words": ["ok", "?", "long"]}), "words[2]"),
        (json!({"list": [{"key": "ok"}, {"key": "long"}]}), "list[1].key"),
        (json!({"map": {"x": {"key": "long"}}}), "map[\"x\"].key"),
        (json!({"set": [{"key": "long"}]}), "set"),
    ];
    for (config, want) in cases {
        let found = validate(&schema, &value(&config));
        let paths: Vec<_> = found.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(paths.join(" "), want, "{config}");
    }
}

#[test]
fn configuration_from_state_has_only_what_must_be_written() {
    let state = json!({
        "name": "n", "mode": "soft", "zone": "z", "arn": "x", "count_of": 3,
        "list": [{"key": "k", "kind": "a", "seen": "s"}, {"key": "l", "kind": "b"}],
    });
    let config = generated_config(&schema(), whole(&state));
    assert_eq!(
        brief(&config),
        json!({"name": "n", "zone": "z", "list": [{"key": "k"}, {"key": "l", "kind": "b"}]})
    );
}

#[test]
fn write_only_arguments_are_found_at_any_depth_and_never_recorded() {
    let secret = Attribute::new("secret", STRING, Mode::Optional).write_only();
    let inner = ObjectSchema {
        attributes: vec![secret.clone()],
        blocks: Vec::new(),
    };
    let nested = Kind::Nested {
        nesting: Nesting::List,
        object: inner,
    };
    let schema = ObjectSchema {
        attributes: vec![secret, Attribute::new("list", nested, Mode::Optional)],
        blocks: Vec::new(),
    };
    let config = value(&json!({"secret": "a", "list": [{"secret": null}, {"secret": "b"}]}));
    assert_eq!(
        write_only_paths(&schema, &config),
        [Path::new("secret"), Path::new("list").index(1).attribute("secret")]
    );
    assert_eq!(brief(&without_write_only(&schema, config)), json!({"list": [{}, {}]}));
}

#[test]
fn the_logic_may_not_plan_what_the_user_did_not_write() {
    let cases = [
        (
            json!({"name": "n", "text": "Hi"}),
            json!({"name": "n", "text": "HI", "zone": "z", "arn": "x"}),
            "",
        ),
        (
            json!({"name": "?", "text": "Hi"}),
            json!({"name": "n", "text": "Hi"}),
            "",
        ),
        (json!({"name": "n"}), json!({"name": "m"}), "name"),
        (
            json!({"name": "n", "zone": "a"}),
            json!({"name": "n", "zone": "b"}),
            "zone",
        ),
        (json!({"name": "n"}), json!({"name": "n", "text": "invented"}), "text"),
    ];
    for (config, planned, want) in cases {
        let found = check_planned(&schema(), &whole(&config), &whole(&planned));
        let paths: Vec<_> = found.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(paths.join(" "), want, "{config}");
    }
}
