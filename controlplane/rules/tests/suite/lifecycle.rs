// SPDX-License-Identifier: Apache-2.0
//! What lifecycle policies mean: ECR's worked examples, what is refused in which words, and a slow evaluator that is
//! compared with the fast one.

mod agreement;
mod evaluation;
mod examples;
mod generate;
mod grammar;
mod reference;
mod support;
