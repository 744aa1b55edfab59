// SPDX-License-Identifier: Apache-2.0
//! Signatures of provider functions.

use crate::Type;

/// The signature of a function.
#[derive(Clone, Debug)]
pub struct FunctionSchema {
    /// One sentence.
    pub summary: String,
    /// Markdown.
    pub description: String,
    /// Why not to use it any more, and what instead.
    pub deprecation: Option<String>,
    /// Positional parameters.
    pub parameters: Vec<Parameter>,
    /// Takes all further arguments.
    pub variadic: Option<Parameter>,
    /// The type of the result.
    pub returns: Type,
}

/// One parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name, for documentation and messages.
    pub name: String,
    /// The type of the argument.
    pub ty: Type,
    /// Markdown.
    pub description: String,
    /// Whether null may be passed; otherwise Terraform refuses it.
    pub allows_null: bool,
    /// Whether unknown values are passed; otherwise Terraform skips the call.
    pub allows_unknown: bool,
}

impl FunctionSchema {
    /// The position of the argument called `name`, as Terraform counts them.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.parameters
            .iter()
            .chain(&self.variadic)
            .position(|parameter| parameter.name == name)
    }

    /// The signature as documentation writes it: `name(uri string, tags string...) object`.
    #[must_use]
    pub fn signature(&self, name: &str) -> String {
        let mut parameters: Vec<_> = self
            .parameters
            .iter()
            .map(|parameter| format!("{} {}", parameter.name, parameter.ty))
            .collect();
        parameters.extend(
            self.variadic
                .iter()
                .map(|parameter| format!("{} {}...", parameter.name, parameter.ty)),
        );
        format!("{name}({}) {}", parameters.join(", "), self.returns)
    }
}
