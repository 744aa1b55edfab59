// SPDX-License-Identifier: Apache-2.0
//! Provider functions: pure, offline, deterministic.

use std::marker::PhantomData;

use crate::field::{Field, Mismatch};
use crate::schema::{FunctionSchema, Parameter};
use crate::value::Value;

/// A function: a struct with `#[derive(Parameters)]` that holds the arguments, and what to compute from them.
///
/// The first paragraph of the struct's doc comment is the summary, the rest the description.
pub trait Function: Parameters {
    /// The name: `parse_arn` for `provider::acme::parse_arn(…)`.
    const NAME: &'static str;
    /// The type of the result.
    type Output: Field;

    /// Computes the result. The same arguments give the same result at all times.
    fn call(self) -> Result<Self::Output, FunctionError>;
}

/// The parameters of a function. Derived by `Parameters`.
pub trait Parameters: Sized + Send + Sync + 'static {
    /// Markdown.
    fn description() -> &'static str;
    /// Why not to use it any more, and what instead.
    fn deprecation() -> Option<String>;
    /// The positional parameters.
    fn parameters() -> Vec<Parameter>;
    /// Takes all further arguments.
    fn variadic() -> Option<Parameter>;
    /// Reads the arguments of a call.
    fn from_arguments(arguments: &mut Arguments) -> Result<Self, FunctionError>;
}

/// Why a function has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    message: String,
    blame: Blame,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Blame {
    Nobody,
    Name(&'static str),
    Position(usize),
}

impl FunctionError {
    /// An error of the call as a whole.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            blame: Blame::Nobody,
        }
    }

    /// An error in the argument of the parameter called `name`.
    #[must_use]
    pub fn argument(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            blame: Blame::Name(name),
        }
    }

    /// The argument at fault, counted from 0.
    pub(crate) fn position(&self, schema: &FunctionSchema) -> Option<usize> {
        match &self.blame {
            Blame::Nobody => None,
            Blame::Name(name) => schema.position(name),
            Blame::Position(position) => Some(*position),
        }
    }
}

/// The arguments of a call, read in order. Used by derived code.
#[derive(Debug)]
pub struct Arguments {
    values: std::vec::IntoIter<Value>,
    position: usize,
}

impl Arguments {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self {
            values: values.into_iter(),
            position: 0,
        }
    }

    /// Reads the next argument.
    #[doc(hidden)]
    pub fn take<T: Field>(&mut self) -> Result<T, FunctionError> {
        let value = self.values.next().unwrap_or_default();
        let position = self.position;
        self.position += 1;
        T::from_value(value).map_err(|mismatch| {
            let message = match mismatch {
                Mismatch::Invalid { path, message } if !path.is_root() => format!("{path}: {message}"),
                other => other.to_string(),
            };
            FunctionError {
                message,
                blame: Blame::Position(position),
            }
        })
    }

    /// Reads all further arguments.
    #[doc(hidden)]
    pub fn rest<T: Field>(&mut self) -> Result<Vec<T>, FunctionError> {
        let mut items = Vec::new();
        while self.values.len() > 0 {
            items.push(self.take()?);
        }
        Ok(items)
    }
}

pub(crate) trait AnyFunction: Send + Sync {
    fn schema(&self) -> &FunctionSchema;
    fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError>;
}

pub(crate) struct Adapter<F> {
    schema: FunctionSchema,
    function: PhantomData<fn() -> F>,
}

impl<F: Function> Adapter<F> {
    pub fn new() -> Self {
        let (summary, description) = match F::description().split_once("\n\n") {
            Some((summary, rest)) => (summary, rest.trim()),
            None => (F::description(), ""),
        };
        let schema = FunctionSchema {
            summary: summary.replace('\n', " "),
            description: if description.is_empty() {
                summary.to_owned()
            } else {
                description.to_owned()
            },
            deprecation: F::deprecation(),
            parameters: F::parameters(),
            variadic: F::variadic(),
            returns: F::Output::kind().ty(),
        };
        Self {
            schema,
            function: PhantomData,
        }
    }
}

impl<F: Function> AnyFunction for Adapter<F> {
    fn schema(&self) -> &FunctionSchema {
        &self.schema
    }

    fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        F::from_arguments(&mut Arguments::new(arguments))?
            .call()
            .map(|result| result.to_value())
    }
}
