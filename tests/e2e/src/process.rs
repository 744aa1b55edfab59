// SPDX-License-Identifier: Apache-2.0
//! Programs that run to an end ([`run`]) and programs that run until they are told to stop ([`Daemon`]).

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take unless the caller says otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_mins(2);

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(2);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every wait of this process end with an error, so that the caller's values clean up on their way out.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Whether [`interrupt`] was called.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Insists on success.
    pub fn ok(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        bail!("`{}` failed ({})\n{}", self.command, self.status, self.both());
    }

    /// Insists on failure.
    pub fn refused(self) -> Result<Self> {
        if !self.status.success() && self.status.code().is_some() {
            return Ok(self);
        }
        bail!(
            "`{}` should have failed ({})\n{}",
            self.command,
            self.status,
            self.both()
        );
    }

    /// Both outputs in one text.
    #[must_use]
    pub fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end, without input, within [`DEFAULT_LIMIT`].
pub fn run(command: &mut Command) -> Result<Finished> {
    run_within(command, DEFAULT_LIMIT)
}

/// Runs a program to its end, without input, within `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<Finished> {
    command.stdin(Stdio::null());
    finish(command, None, limit)
}

/// Runs a program to its end and feeds it `input`.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Finished> {
    command.stdin(Stdio::piped());
    finish(command, Some(input), DEFAULT_LIMIT)
}

/// Output goes to unnamed files rather than pipes: a grandchild that keeps a pipe open would keep the reader waiting.
fn finish(command: &mut Command, input: Option<&[u8]>, limit: Duration) -> Result<Finished> {
    let line = command_line(command);
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A program that ends without reading is judged by its status, not by this pipe.
        let _ = pipe.write_all(input);
    }
    let status = match wait_within(&mut child, limit) {
        Ok(Some(status)) => status,
        outcome => {
            stop_child(&mut child, Signal::TERM, Duration::from_secs(5));
            outcome.with_context(|| format!("while `{line}` ran"))?;
            bail!(
                "`{line}` did not end within {limit:?}\n{}{}",
                text_of(&mut stdout)?,
                text_of(&mut stderr)?
            );
        }
    };
    let took = started.elapsed();
    Ok(Finished {
        command: line,
        status,
        stdout: text_of(&mut stdout)?,
        stderr: text_of(&mut stderr)?,
        took,
    })
}

/// Waits until `condition` holds; an error names what was waited for.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !condition() {
        if is_interrupted() {
            bail!("interrupted while waiting until {what}");
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} in vain until {what}");
        }
        sleep(POLL);
    }
    Ok(())
}

/// A program that serves until it is stopped. Dropping it stops it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    stop_signal: Signal,
    grace: Duration,
}

impl Daemon {
    /// Starts `command` with both outputs appended to the file `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", command_line(command)))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            stop_signal: Signal::TERM,
            grace: Duration::from_secs(20),
        })
    }

    /// Stops it with another signal than SIGTERM.
    #[must_use]
    pub fn stopped_by(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until `condition` holds; fails early when the program ends.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
        let child = &mut self.child;
        let mut ended = None;
        let waited = wait_until(what, limit, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || condition()
        });
        if let Some(status) = ended {
            bail!("`{}` ended ({status}) before {what}:\n{}", self.name, self.log());
        }
        waited.with_context(|| format!("`{}` printed:\n{}", self.name, self.log()))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(&self.child, signal)
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to stop and waits; kills it after a grace period. The result is `None` if it had to be killed.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        stop_child(&mut self.child, self.stop_signal, self.grace)
    }

    /// Kills it on the spot, as a power cut would.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if is_interrupted() {
            bail!("interrupted");
        }
        if started.elapsed() > limit {
            return Ok(None);
        }
        sleep(POLL);
    }
}

/// Ends a child: politely, then not. `None` if politeness did not help. Interruption does not shorten it.
fn stop_child(child: &mut Child, signal: Signal, grace: Duration) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    if send(child, signal).is_ok() {
        let started = Instant::now();
        while started.elapsed() < grace {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            sleep(POLL);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn send(child: &Child, signal: Signal) -> Result<()> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process id")?;
    kill_process(pid, signal).context("cannot send the signal")
}

fn text_of(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}
