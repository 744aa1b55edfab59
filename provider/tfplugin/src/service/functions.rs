// SPDX-License-Identifier: Apache-2.0
//! Provider functions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::reply::crashed;
use super::{Service, decode, encode};
use crate::function::{AnyFunction, FunctionError};
use crate::provider::Provider;
use crate::{Diagnostics, proto};

impl<P: Provider> Service<P> {
    pub(super) fn call_function(&self, request: &proto::CallFunctionRequest) -> proto::CallFunctionResponse {
        let called = match self.catalog.functions.get(&request.name) {
            Some(function) => catch_unwind(AssertUnwindSafe(|| call(function.as_ref(), &request.arguments)))
                .unwrap_or_else(|panic| Err(failed(&crashed(panic.as_ref()), None))),
            None => Err(wire_error(
                format!("this provider has no function `{}`", request.name),
                None,
            )),
        };
        match called {
            Ok(result) => proto::CallFunctionResponse {
                result: Some(result),
                error: None,
            },
            Err(error) => proto::CallFunctionResponse {
                result: None,
                error: Some(error),
            },
        }
    }
}

fn call(
    function: &dyn AnyFunction,
    arguments: &[proto::DynamicValue],
) -> Result<proto::DynamicValue, proto::FunctionError> {
    let schema = function.schema();
    let mut types = schema.parameters.iter().map(|parameter| &parameter.ty);
    let variadic = schema.variadic.as_ref().map(|parameter| &parameter.ty);
    let mut values = Vec::with_capacity(arguments.len());
    for (position, argument) in arguments.iter().enumerate() {
        let ty = types
            .next()
            .or(variadic)
            .ok_or_else(|| wire_error("too many arguments".to_owned(), Some(position)))?;
        values.push(decode(ty, Some(argument)).map_err(|diagnostics| failed(&diagnostics, Some(position)))?);
    }
    if types.next().is_some() {
        return Err(wire_error("too few arguments".to_owned(), None));
    }
    let result = function.call(values).map_err(|error: FunctionError| {
        let position = error.position(schema);
        wire_error(error.to_string(), position)
    })?;
    encode(&schema.returns, &result).map_err(|diagnostics| failed(&diagnostics, None))
}

fn failed(diagnostics: &Diagnostics, position: Option<usize>) -> proto::FunctionError {
    let text = diagnostics
        .iter()
        .map(|it| it.detail.as_str())
        .collect::<Vec<_>>()
        .join("; ");
    wire_error(text, position)
}

fn wire_error(text: String, position: Option<usize>) -> proto::FunctionError {
    proto::FunctionError {
        text,
        function_argument: position.and_then(|position| i64::try_from(position).ok()),
    }
}
