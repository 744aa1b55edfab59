// SPDX-License-Identifier: Apache-2.0
//! The harness for everything that needs real processes: the Hythe binaries, a Docker engine, PostgreSQL, Terraform and
//! the container clients. `tests/` beside it holds the end-to-end tests; `cargo xtask demo` and `cargo xtask bench` use the same
//! pieces.
//!
//! Invariants:
//! - Servers listen on 127.0.0.1 only, in folders of their own, and end with the value that started them.
//! - It links none of Hythe's crates: what it says about the wire comes from the public specifications, so that a mistake in
//!   the product cannot hide in the test as well.
//! - Nothing is skipped silently: see [`client::find`].

pub mod binary;
pub mod churn;
pub mod client;
pub mod client_home;
pub mod control_recorder;
pub mod docker;
pub mod docker_registry;
pub mod http;
pub mod image;
pub mod interrupt;
pub mod ledger;
pub mod leftovers;
pub mod loop_disk;
pub mod nodes;
pub mod oracle;
pub mod port;
pub mod postgres;
pub mod power_disk;
pub mod process;
pub mod proxy;
pub mod recorder;
pub mod registry;
pub mod server;
pub mod terraform;
pub mod terraform_life;
pub mod test_clock;
pub mod upstream;

pub use control_recorder::ControlRecorder;
pub use docker::DockerEngine;
pub use docker_registry::DockerRegistry;
pub use ledger::Ledger;
pub use nodes::TwoNodes;
pub use port::ReservedPort;
pub use postgres::PostgresCluster;
pub use recorder::Recorder;
pub use registry::RegistryClient;
pub use server::{Server, ServerOptions};
pub use terraform::Terraform;
pub use test_clock::TestClock;
pub use upstream::ScriptedUpstream;
