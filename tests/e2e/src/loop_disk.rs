// SPDX-License-Identifier: Apache-2.0
//! Disks of our own: small file systems over loop devices or in memory, that can be full, go away or be copied.
//! Every value undoes what it did when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client;
use crate::process::run;

/// How often a file system is asked to go, and how long between two times.
const UNMOUNT_TRIES: usize = 100;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(20);

/// Whether this machine lets a test make disks of its own. `false` means "skip", which is said aloud.
pub fn is_possible(programs: &[&str]) -> Result<bool> {
    if !client::is_root() {
        client::skip("a file system of our own needs root")?;
        return Ok(false);
    }
    if !Path::new("/dev/loop-control").exists() {
        client::skip("a file system of our own needs loop devices")?;
        return Ok(false);
    }
    Ok(client::find(programs)?.is_some())
}

/// A block device that is a file.
#[derive(Debug)]
pub struct LoopDevice(PathBuf);

impl LoopDevice {
    /// Makes a device of a file.
    pub fn attach(image: &Path) -> Result<Self> {
        let printed = run(Command::new("losetup").args(["--find", "--show"]).arg(image))?.ok()?;
        Ok(Self(printed.stdout.trim().into()))
    }

    /// The device, such as `/dev/loop7`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Not through `run`, which an interruption stops: this may be the clean-up after one.
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
    // Goes after the mount is gone.
    device: Option<LoopDevice>,
}

impl Mount {
    /// Mounts the file system in an image file at `folder`, which is made.
    pub fn image(image: &Path, folder: &Path, options: &str) -> Result<Self> {
        let device = LoopDevice::attach(image)?;
        std::fs::create_dir_all(folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).arg(device.path()).arg(folder);
        run(&mut mount)?.ok()?;
        let folder = folder.to_owned();
        let device = Some(device);
        Ok(Self { folder, device })
    }

    /// Mounts a file system in memory.
    pub fn tmpfs(folder: &Path, mebibytes: usize) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let size = format!("size={mebibytes}m,mode=0755");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder))?
        .ok()?;
        let folder = folder.to_owned();
        Ok(Self { folder, device: None })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Changes its options, such as `ro`. Not possible to `ro` while a file is open for writing.
    pub fn remount(&self, options: &str) -> Result<()> {
        run(Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.folder))?
        .ok()?;
        Ok(())
    }

    /// The device's name as `/sys/fs` has it, such as `loop7`.
    pub fn device_name(&self) -> Result<String> {
        let device = self.device.as_ref().context("a file system without a device")?;
        let name = device.path().file_name().context("a device without a name")?;
        Ok(name.to_string_lossy().into_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |arguments: &[&str]| {
            let mut command = Command::new("umount");
            let status = command.args(arguments).arg(&self.folder).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        // What was killed a moment ago may still hold it.
        let is_gone = (0..UNMOUNT_TRIES).any(|_| {
            let is_gone = unmount(&["--quiet"]);
            if !is_gone {
                sleep(UNMOUNT_PAUSE);
            }
            is_gone
        });
        // Lazily as a last resort: it goes then when whatever holds it does.
        let _ = is_gone || unmount(&["--quiet", "--lazy"]);
    }
}

/// Makes an empty image of so many MiB with ext4 in it. The file has holes.
pub fn make_ext4(image: &Path, mebibytes: u64, options: &[&str]) -> Result<()> {
    make_image(image, mebibytes)?;
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).args(options).arg(image))?.ok()?;
    Ok(())
}

/// Makes an empty image of so many MiB with btrfs in it. The file has holes.
pub fn make_btrfs(image: &Path, mebibytes: u64) -> Result<()> {
    make_image(image, mebibytes)?;
    run(Command::new("mkfs.btrfs")
        .args(["--quiet", "--metadata", "single"])
        .arg(image))?
    .ok()?;
    Ok(())
}

fn make_image(image: &Path, mebibytes: u64) -> Result<()> {
    let file = std::fs::File::create_new(image).with_context(|| format!("cannot make {}", image.display()))?;
    Ok(file.set_len(mebibytes * 1024 * 1024)?)
}
