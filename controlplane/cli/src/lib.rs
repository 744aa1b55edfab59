// SPDX-License-Identifier: Apache-2.0
//! The command line of Hythe, on top of the REST client: everything that `hythe` does but serving, and the Docker
//! credential helper.
//!
//! Invariants:
//! - Answers go to standard output, everything else to standard error; with `--output json` an answer is the API's.
//! - An error is reported in one place (`report.rs`), which also chooses the exit code (see [`EXIT_CODES`]).
//! - Nothing is deleted without a "yes", from the user or on the command line.
//!
//! Absent on purpose: `main`, and any code of the server.

mod audit_file;
mod commands;
mod confirm;
mod context;
mod credential_helper;
mod docker_config;
mod document;
mod duration;
mod error;
mod helper_link;
mod human;
mod image_name;
mod options;
mod policy_name;
mod progress;
mod registry_address;
mod report;
mod table;
mod token_cache;
mod writer;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Subcommand;
use hythe_client::wire::UserKind;

pub use credential_helper::docker_credential_helper;
pub use options::{ColorChoice, GlobalOptions, OutputFormat};

use commands::{
    access_key, account, audit, completion, configure, gc, group, identity_provider, image, lifecycle, login, logout,
    policy, pull_through_cache, registry, replication, repository, role, scrub, signing_key, tag, token, user,
    virtual_repository, whoami,
};
use context::Context;
use writer::Writer;

/// The name under which the executable is the Docker credential helper.
pub const CREDENTIAL_HELPER_NAME: &str = "docker-credential-hythe";

/// What the exit codes mean, for the help of the whole program.
pub const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  not found
  4  not logged in, or not allowed
  5  conflict: exists already, not empty, or changed meanwhile
  6  no connection to the server
130  interrupted";

/// What `hythe` can do as a client.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log a container tool in to the registry
    #[command(after_help = login::EXAMPLES)]
    Login(login::LoginArgs),
    /// Undo a login
    #[command(after_help = logout::EXAMPLES)]
    Logout(logout::LogoutArgs),
    /// Write a profile: which server, and as whom
    #[command(after_help = configure::EXAMPLES)]
    Configure(configure::ConfigureArgs),
    /// Show as whom the server knows you
    Whoami,
    /// Look at the registry, and manage its policy
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    /// Create, look at, change and delete repositories
    #[command(subcommand, visible_alias = "repo")]
    Repository(repository::RepositoryCommand),
    /// Let a name be read through several repositories
    #[command(subcommand, visible_alias = "virtual-repo", after_help = virtual_repository::EXAMPLES)]
    VirtualRepository(virtual_repository::VirtualRepositoryCommand),
    /// Push, pull, look at and delete images
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Look at, move and delete the tags of images
    #[command(subcommand)]
    Tag(tag::TagCommand),
    /// Let a policy delete and archive the images of a repository, and see beforehand what it would do
    #[command(subcommand, after_help = lifecycle::EXAMPLES)]
    Lifecycle(lifecycle::LifecycleCommand),
    /// Let repositories come from other registries, and keep what was pulled
    #[command(subcommand, visible_alias = "ptc", after_help = pull_through_cache::EXAMPLES)]
    PullThroughCache(pull_through_cache::PullThroughCacheCommand),
    /// Bring images to other registries: destinations, rules, and how it goes
    #[command(subcommand, after_help = replication::EXAMPLES)]
    Replication(replication::ReplicationCommand),
    /// Manage users: people
    #[command(subcommand, after_help = user::EXAMPLES)]
    User(user::UserCommand),
    /// Manage service accounts: users that are machines
    #[command(subcommand, after_help = user::SERVICE_ACCOUNT_EXAMPLES)]
    ServiceAccount(user::UserCommand),
    /// Manage groups of users, which give their members rights
    #[command(subcommand, after_help = group::EXAMPLES)]
    Group(group::GroupCommand),
    /// Manage roles: rights to take on for a while
    #[command(subcommand, after_help = role::EXAMPLES)]
    Role(role::RoleCommand),
    /// Manage accounts: tenants with their own repositories and users
    #[command(subcommand, after_help = account::EXAMPLES)]
    Account(account::AccountCommand),
    /// Manage the policies that users, groups and roles can have
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Manage the access keys of users and service accounts
    #[command(subcommand, after_help = access_key::EXAMPLES)]
    AccessKey(access_key::AccessKeyCommand),
    /// Manage the issuers whose tokens roles trust: CI systems, clusters, single sign-on
    #[command(subcommand, visible_alias = "idp")]
    IdentityProvider(identity_provider::IdentityProviderCommand),
    /// Make and revoke authorization tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// See who did what, export it, and check that nobody changed it
    #[command(subcommand, after_help = audit::EXAMPLES)]
    Audit(audit::AuditCommand),
    /// Look at and rotate the keys that sign tokens
    #[command(subcommand, after_help = signing_key::EXAMPLES)]
    SigningKey(signing_key::SigningKeyCommand),
    /// Collect blobs that nobody needs, and see how that goes
    #[command(subcommand, visible_alias = "garbage-collection", after_help = gc::EXAMPLES)]
    Gc(gc::GcCommand),
    /// Check everything that is stored, beside live traffic: bytes, digests and references
    #[command(after_help = scrub::EXAMPLES)]
    Scrub(scrub::ScrubArgs),
    /// Print a completion script for a shell
    #[command(after_help = completion::EXAMPLES)]
    Completion(completion::CompletionArgs),
}

/// Runs a command and reports how it went. `program` is the whole command line, for the completion scripts.
pub async fn run(command: Command, options: GlobalOptions, program: clap::Command) -> ExitCode {
    let writer = Writer::new(&options);
    let context = Context::of_process(options, writer);
    let done = match command {
        Command::Login(args) => login::run(args, &context).await,
        Command::Logout(args) => logout::run(args, &context).await,
        Command::Configure(args) => configure::run(args, &context).await,
        Command::Whoami => whoami::run(&context).await,
        Command::Registry(command) => registry::run(command, &context).await,
        Command::Repository(command) => repository::run(command, &context).await,
        Command::VirtualRepository(command) => virtual_repository::run(command, &context).await,
        Command::Image(command) => image::run(command, &context).await,
        Command::Tag(command) => tag::run(command, &context).await,
        Command::Lifecycle(command) => lifecycle::run(command, &context).await,
        Command::PullThroughCache(command) => pull_through_cache::run(command, &context).await,
        Command::Replication(command) => replication::run(command, &context).await,
        Command::User(command) => user::run(command, UserKind::User, &context).await,
        Command::ServiceAccount(command) => user::run(command, UserKind::ServiceAccount, &context).await,
        Command::Group(command) => group::run(command, &context).await,
        Command::Role(command) => role::run(command, &context).await,
        Command::Account(command) => account::run(command, &context).await,
        Command::Policy(command) => policy::run(command, &context).await,
        Command::AccessKey(command) => access_key::run(command, &context).await,
        Command::IdentityProvider(command) => identity_provider::run(command, &context).await,
        Command::Token(command) => token::run(command, &context).await,
        Command::Audit(command) => audit::run(command, &context).await,
        Command::SigningKey(command) => signing_key::run(command, &context).await,
        Command::Gc(command) => gc::run(command, &context).await,
        Command::Scrub(args) => scrub::run(args, &context).await,
        Command::Completion(args) => completion::run(&args, program),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let report = report::report(&error);
            context.writer.report(&report);
            ExitCode::from(report.exit_code)
        }
    }
}
