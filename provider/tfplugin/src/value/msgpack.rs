// SPDX-License-Identifier: Apache-2.0
//! The MessagePack form: what Terraform and providers send each other.
//!
//! The schema's type decides how bytes are read. Writing follows the choices of
//! Terraform's own encoder, so that a decoded value encodes to the same bytes.

use std::collections::BTreeMap;

use rmpv::decode::read_value_ref_with_max_depth;
use rmpv::{Value as Wire, ValueRef};

use super::{MAX_DEPTH, Number, Value, ValueError};
use crate::{Path, Type};

/// Reads a value of type `ty`. Missing attributes of an object become null, unexpected ones are dropped.
pub fn decode(ty: &Type, bytes: &[u8]) -> Result<Value, ValueError> {
    let mut rest = bytes;
    // A dynamic value and its type are one level more than the value itself.
    let wire = read_value_ref_with_max_depth(&mut rest, 2 * MAX_DEPTH)
        .map_err(|_| ValueError::new(&Path::root(), "malformed or too deeply nested MessagePack"))?;
    if !rest.is_empty() {
        return Err(ValueError::new(&Path::root(), "unexpected bytes after the value"));
    }
    from_wire(ty, &wire, &Path::root(), MAX_DEPTH)
}

/// Writes a value as type `ty`. Absent attributes of an object become null, unexpected ones are dropped.
pub fn encode(ty: &Type, value: &Value) -> Result<Vec<u8>, ValueError> {
    let wire = to_wire(ty, value, &Path::root(), MAX_DEPTH)?;
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &wire)
        .map_err(|_| ValueError::new(&Path::root(), "cannot be written as MessagePack"))?;
    Ok(bytes)
}

fn from_wire(ty: &Type, wire: &ValueRef<'_>, path: &Path, depth: usize) -> Result<Value, ValueError> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| ValueError::new(path, "nested too deeply"))?;
    match wire {
        ValueRef::Nil => return Ok(Value::Null),
        // Every extension stands for "unknown"; type 12 adds refinements that we do not need.
        ValueRef::Ext(..) => return Ok(Value::Unknown),
        _ => {}
    }
    let refused = || ValueError::new(path, format!("expected {ty}"));
    match (ty, wire) {
        (Type::String, ValueRef::String(text)) => Ok(Value::String(
            text.as_str()
                .ok_or_else(|| ValueError::new(path, "not valid UTF-8"))?
                .to_owned(),
        )),
        (Type::Number, wire) => number(wire).map(Value::Number).ok_or_else(refused),
        (Type::Bool, ValueRef::Boolean(truth)) => Ok(Value::Bool(*truth)),
        (Type::List(element) | Type::Set(element), ValueRef::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| from_wire(element, item, &path.clone().index(index), depth))
            .collect::<Result<_, _>>()
            .map(Value::List),
        (Type::Tuple(elements), ValueRef::Array(items)) if elements.len() == items.len() => elements
            .iter()
            .zip(items)
            .enumerate()
            .map(|(index, (ty, item))| from_wire(ty, item, &path.clone().index(index), depth))
            .collect::<Result<_, _>>()
            .map(Value::List),
        (Type::Map(element), ValueRef::Map(items)) => items
            .iter()
            .map(|(key, item)| {
                let key = text(key).ok_or_else(refused)?;
                Ok((key.to_owned(), from_wire(element, item, &path.clone().key(key), depth)?))
            })
            .collect::<Result<_, _>>()
            .map(Value::Map),
        (Type::Object(attributes), ValueRef::Map(items)) => {
            let mut object: BTreeMap<_, _> = attributes.keys().map(|name| (name.clone(), Value::Null)).collect();
            for (key, item) in items {
                let key = text(key).ok_or_else(refused)?;
                if let Some(ty) = attributes.get(key) {
                    object.insert(
                        key.to_owned(),
                        from_wire(ty, item, &path.clone().attribute(key), depth)?,
                    );
                }
            }
            Ok(Value::Map(object))
        }
        (Type::Dynamic, ValueRef::Array(pair)) => {
            let [ValueRef::Binary(ty), value] = pair.as_slice() else {
                return Err(refused());
            };
            let ty = Type::from_json(ty).map_err(|error| ValueError::new(path, error.to_string()))?;
            let value = from_wire(&ty, value, path, depth)?;
            Ok(Value::Dynamic(Box::new((ty, value))))
        }
        _ => Err(refused()),
    }
}

fn text<'a>(wire: &'a ValueRef<'_>) -> Option<&'a str> {
    match wire {
        ValueRef::String(text) => text.as_str(),
        _ => None,
    }
}

fn number(wire: &ValueRef<'_>) -> Option<Number> {
    match wire {
        ValueRef::Integer(integer) => integer
            .as_i64()
            .map(Number::from)
            .or_else(|| integer.as_u64().map(Number::from)),
        ValueRef::F32(float) => Number::try_from(f64::from(*float)).ok(),
        ValueRef::F64(float) => Number::try_from(*float).ok(),
        ValueRef::String(text) => text.as_str()?.parse().ok(),
        _ => None,
    }
}

fn to_wire(ty: &Type, value: &Value, path: &Path, depth: usize) -> Result<Wire, ValueError> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| ValueError::new(path, "nested too deeply"))?;
    if let (Type::Dynamic, Value::Dynamic(inner)) = (ty, value) {
        return dynamic(&inner.0, &inner.1, path, depth);
    }
    match (ty, value) {
        (_, Value::Null) => Ok(Wire::Nil),
        (_, Value::Unknown) => Ok(Wire::Ext(0, vec![0])),
        (Type::Dynamic, value) => dynamic(&value.natural_type(), value, path, depth),
        (Type::String, Value::String(text)) => Ok(Wire::from(text.as_str())),
        (Type::Number, Value::Number(number)) => Ok(match (number.to_i64(), number.to_exact_f64()) {
            (Some(integer), _) => Wire::from(integer),
            (None, Some(float)) => Wire::F64(float),
            (None, None) => Wire::from(number.to_string()),
        }),
        (Type::Bool, Value::Bool(truth)) => Ok(Wire::Boolean(*truth)),
        (Type::List(element) | Type::Set(element), Value::List(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| to_wire(element, item, &path.clone().index(index), depth))
            .collect::<Result<_, _>>()
            .map(Wire::Array),
        (Type::Tuple(elements), Value::List(items)) if elements.len() == items.len() => elements
            .iter()
            .zip(items)
            .enumerate()
            .map(|(index, (ty, item))| to_wire(ty, item, &path.clone().index(index), depth))
            .collect::<Result<_, _>>()
            .map(Wire::Array),
        (Type::Map(element), Value::Map(items)) => items
            .iter()
            .map(|(key, item)| {
                Ok((
                    Wire::from(key.as_str()),
                    to_wire(element, item, &path.clone().key(key), depth)?,
                ))
            })
            .collect::<Result<_, _>>()
            .map(Wire::Map),
        (Type::Object(attributes), Value::Map(_)) => attributes
            .iter()
            .map(|(name, ty)| {
                let item = to_wire(ty, value.get(name), &path.clone().attribute(name), depth)?;
                Ok((Wire::from(name.as_str()), item))
            })
            .collect::<Result<_, _>>()
            .map(Wire::Map),
        (ty, value) => Err(ValueError::new(
            path,
            format!("expected {ty}, found {}", value.describe()),
        )),
    }
}

fn dynamic(ty: &Type, value: &Value, path: &Path, depth: usize) -> Result<Wire, ValueError> {
    if *ty == Type::Dynamic {
        return to_wire(ty, value, path, depth);
    }
    let inner = to_wire(ty, value, path, depth)?;
    Ok(Wire::Array(vec![Wire::Binary(ty.to_json().into_bytes()), inner]))
}
