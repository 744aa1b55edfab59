// SPDX-License-Identifier: Apache-2.0
//! The `hythe` executable: server, command line, and (under the name `docker-credential-hythe`) credential helper.

mod cli_page;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use hythe_server::{Config, ConfigCommand, ConfigForm, ServeArgs};

/// A container registry that behaves like Amazon ECR: server and command line.
#[derive(Debug, Parser)]
#[command(name = "hythe", version, about, propagate_version = true, after_help = after_help())]
struct Cli {
    #[command(flatten)]
    global: hythe_cli::GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    ///
    /// Without any option: embedded database and blobs in ./hythe-data, registry on 127.0.0.1:5000, control plane
    /// on 127.0.0.1:8080, and an administrator whose access key is written to hythe-data/credentials.
    Serve(Box<ServeArgs>),
    /// Look at the server's configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a reference page in Markdown.
    #[command(hide = true)]
    Docs {
        /// Which page.
        page: Page,
    },
    #[command(flatten)]
    Client(Box<hythe_cli::Command>),
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Page {
    Cli,
    Config,
    Rest,
}

/// What to try first, and what the exit codes mean.
fn after_help() -> String {
    format!(
        "\
Start a registry in this folder:      hythe serve
Log docker in to it (another shell):  hythe login docker
Make a repository and look at it:     hythe repository create team/web && hythe repository list

{}",
        hythe_cli::EXIT_CODES
    )
}

fn main() -> ExitCode {
    // More than one provider may be linked; the first to be chosen stays.
    let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Some(verb) = credential_helper_verb() {
        return hythe_cli::docker_credential_helper(&verb);
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    match cli.command {
        Command::Serve(args) => match runtime.block_on(serve(&args)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{error:#}")),
        },
        Command::Config(ConfigCommand::Check(args)) => {
            match hythe_server::check_config(&args, config_form(&cli.global)) {
                Ok(text) => print(&text),
                Err(error) => fail(&error.to_string()),
            }
        }
        Command::Docs { page } => print(&match page {
            Page::Cli => cli_page::cli_reference_page(Cli::command()),
            Page::Config => hythe_server::reference_page(),
            Page::Rest => hythe_server::rest_reference_page(),
        }),
        Command::Client(command) => runtime.block_on(hythe_cli::run(*command, cli.global, Cli::command())),
    }
}

/// `get`, `store`, … if the executable was called by the helper's name.
fn credential_helper_verb() -> Option<String> {
    let mut args = std::env::args();
    let program = args.next()?;
    let name = Path::new(&program).file_stem()?;
    (name == hythe_cli::CREDENTIAL_HELPER_NAME).then(|| args.next().unwrap_or_default())
}

async fn serve(args: &ServeArgs) -> Result<(), hythe_server::ServeError> {
    // On the heap: the future of a whole server is large.
    Box::pin(hythe_server::serve(Config::of_process(args)?)).await
}

fn config_form(options: &hythe_cli::GlobalOptions) -> ConfigForm {
    match options.output {
        hythe_cli::OutputFormat::Table => ConfigForm::Toml,
        hythe_cli::OutputFormat::Json => ConfigForm::Json,
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // the reader went away
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "error: {message}");
    ExitCode::FAILURE
}
