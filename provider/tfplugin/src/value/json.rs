// SPDX-License-Identifier: Apache-2.0
//! The JSON form: how Terraform stores state.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MAX_DEPTH, Number, Value, ValueError};
use crate::{Path, Type};

/// Reads stored state of type `ty`.
///
/// Tolerant, since a state may be older or newer than the schema: missing
/// attributes become null, unexpected ones are dropped, and primitives convert
/// as Terraform converts them. Numbers keep every digit.
pub fn decode_json(ty: &Type, bytes: &[u8]) -> Result<Value, ValueError> {
    let raw: &RawValue = parse(bytes, &Path::root())?;
    from_raw(ty, raw, &Path::root(), MAX_DEPTH)
}

/// As [`decode_json`], from a JSON tree.
pub fn from_json(ty: &Type, json: &serde_json::Value) -> Result<Value, ValueError> {
    decode_json(ty, json.to_string().as_bytes())
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], path: &Path) -> Result<T, ValueError> {
    serde_json::from_slice(bytes).map_err(|_| ValueError::new(path, "malformed JSON"))
}

fn from_raw(ty: &Type, raw: &RawValue, path: &Path, depth: usize) -> Result<Value, ValueError> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| ValueError::new(path, "nested too deeply"))?;
    let text = raw.get();
    let bytes = text.as_bytes();
    let refused = || ValueError::new(path, format!("expected {ty}"));
    let first = *bytes.first().ok_or_else(refused)?;
    if first == b'n' {
        return Ok(Value::Null);
    }
    match (ty, first) {
        (Type::String, b'"') => Ok(Value::String(parse(bytes, path)?)),
        (Type::String, b't' | b'f') => Ok(Value::from(text)),
        (Type::String | Type::Number, b'-' | b'0'..=b'9') => {
            let number: Number = text.parse().map_err(|_| refused())?;
            Ok(if *ty == Type::String {
                Value::String(number.to_string())
            } else {
                Value::Number(number)
            })
        }
        (Type::Number, b'"') => {
            let text: String = parse(bytes, path)?;
            text.parse().map(Value::Number).map_err(|_| refused())
        }
        (Type::Bool, b't') => Ok(Value::Bool(true)),
        (Type::Bool, b'f') => Ok(Value::Bool(false)),
        (Type::Bool, b'"') => match parse::<String>(bytes, path)?.as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(refused()),
        },
        (Type::List(element) | Type::Set(element), b'[') => parse::<Vec<&RawValue>>(bytes, path)?
            .into_iter()
            .enumerate()
            .map(|(index, item)| from_raw(element, item, &path.clone().index(index), depth))
            .collect::<Result<_, _>>()
            .map(Value::List),
        (Type::Tuple(elements), b'[') => {
            let items: Vec<&RawValue> = parse(bytes, path)?;
            if items.len() != elements.len() {
                return Err(refused());
            }
            elements
                .iter()
                .zip(items)
                .enumerate()
                .map(|(index, (ty, item))| from_raw(ty, item, &path.clone().index(index), depth))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        (Type::Map(element), b'{') => parse::<BTreeMap<String, &RawValue>>(bytes, path)?
            .into_iter()
            .map(|(key, item)| {
                let item = from_raw(element, item, &path.clone().key(&key), depth)?;
                Ok((key, item))
            })
            .collect::<Result<_, _>>()
            .map(Value::Map),
        (Type::Object(attributes), b'{') => {
            let items: BTreeMap<String, &RawValue> = parse(bytes, path)?;
            attributes
                .iter()
                .map(|(name, ty)| {
                    let item = match items.get(name) {
                        Some(item) => from_raw(ty, item, &path.clone().attribute(name), depth)?,
                        None => Value::Null,
                    };
                    Ok((name.clone(), item))
                })
                .collect::<Result<_, _>>()
                .map(Value::Map)
        }
        (Type::Dynamic, b'{') => {
            let pair: TypedJson<'_> = parse(bytes, path)?;
            let ty = Type::from_json(pair.ty.get().as_bytes()).map_err(|e| ValueError::new(path, e.to_string()))?;
            let value = from_raw(&ty, pair.value, path, depth)?;
            Ok(Value::Dynamic(Box::new((ty, value))))
        }
        _ => Err(refused()),
    }
}

/// How a value of type `dynamic` is stored.
#[derive(Deserialize)]
struct TypedJson<'a> {
    #[serde(borrow, rename = "type")]
    ty: &'a RawValue,
    #[serde(borrow)]
    value: &'a RawValue,
}
