// SPDX-License-Identifier: Apache-2.0
//! A complete provider: books on a shelf, which is a folder of JSON files.
//!
//! `cargo run -p tfplugin --example shelf -- --debug` prints the variable with which Terraform finds it.

mod provider;

use std::process::ExitCode;

fn main() -> ExitCode {
    tfplugin::serve(provider::Shelf, "registry.terraform.io/example/shelf")
}
