// SPDX-License-Identifier: Apache-2.0
//! `hythe completion`.

use clap::Args;
use clap_complete::Shell;

use crate::error::CliError;
use crate::writer::write_out;

pub(crate) const EXAMPLES: &str = "Examples:
  source <(hythe completion bash)
  hythe completion zsh > ~/.zfunc/_hythe
  hythe completion fish > ~/.config/fish/completions/hythe.fish";

/// `hythe completion …`
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionArgs, mut program: clap::Command) -> Result<(), CliError> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    write_out(&String::from_utf8_lossy(&script))
}
