// SPDX-License-Identifier: Apache-2.0
//! Where the binaries under test are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The folder of the build profile this program was built in, such as `target/debug`.
pub fn profile_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let folder = own.parent().context("this program has no folder")?;
    // Test programs sit one level deeper, in `deps`.
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

/// The root of the workspace.
#[must_use]
pub fn workspace_folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// The `hythe` binary of this build profile.
pub fn hythe() -> Result<PathBuf> {
    built("hythe")
}

/// The `terraform-provider-hythe` binary of this build profile.
pub fn provider() -> Result<PathBuf> {
    built("terraform-provider-hythe")
}

fn built(name: &str) -> Result<PathBuf> {
    let path = profile_folder()?.join(name);
    ensure!(
        path.is_file(),
        "`{}` is not built: run `cargo build -p hythe -p hythe-provider` first",
        path.display()
    );
    Ok(path)
}
