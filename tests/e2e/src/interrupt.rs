// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C and SIGTERM end the running wait, so that everything that was started is stopped on the way out.

use std::thread::Builder;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Watches for SIGINT and SIGTERM until the program ends.
pub fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let watch = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                crate::process::interrupt();
            }
        });
    };
    Builder::new()
        .name("signals".into())
        .spawn(watch)
        .context("cannot watch for signals")?;
    Ok(())
}
