// SPDX-License-Identifier: Apache-2.0
//! How far a run is, what it notes, and what an error means to it.

use std::time::Duration;

use hythe_meta::{MirrorNote, MirrorNoteKind};
use hythe_upstream::UpstreamError;
use jiff::{SignedDuration, Timestamp};

use super::{Interrupt, Place, Run};
use crate::add;
use crate::mirror::{MAX_RUN, MirrorSource};

/// How often it is looked whether images have been fetched.
const WAIT: Duration = Duration::from_millis(500);
/// After how many failures an image is no longer waited for; it is still tried, less and less often.
const MAX_IMPORT_ATTEMPTS: u64 = 3;
/// How often the other registry may fail, or not be there, without any progress between.
const MAX_ATTEMPTS: u64 = 3;
/// The pause after the first of these failures; each further one is twice as long. Longer than pulls leave it alone.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(6);
/// For how long a registry that wants fewer requests is left alone if it does not say for how long.
const LIMITED_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// For how long a run is worked on before others have their turn.
const TURN: Duration = Duration::from_mins(10);
/// When a run that waits for its images is looked at again, after its turn.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(10);
/// The longest reason that is noted, in characters.
const MAX_REASON: usize = 500;

impl Run<'_> {
    /// Waits until no more than `limit` images wait to be fetched.
    pub(super) async fn await_imports(&mut self, limit: u64) -> Result<(), Interrupt> {
        self.advance().await?;
        loop {
            let store = &self.parts.store;
            let (id, now, leased) = (&self.record.id, self.now(), self.parts.leased());
            let awaited = store
                .await_mirrored(id, self.owner, MAX_IMPORT_ATTEMPTS, now, leased)
                .await?;
            let awaited = awaited.ok_or(Interrupt::Lost)?;
            self.progress.counts.failed += awaited.failed;
            add(&self.parts.metrics.tags_failed, awaited.failed);
            self.queued = awaited.waiting;
            if awaited.waiting <= limit {
                return Ok(());
            }
            if now.duration_since(self.record.started_at) > MAX_RUN {
                return Err(Interrupt::Failed(
                    "images could not be fetched within seven days".into(),
                ));
            }
            self.check_turn(NEXT_LOOK)?;
            tokio::time::sleep(WAIT).await;
        }
    }

    /// Writes down how far the run is, and gives its place to another run after a while.
    pub(super) async fn advance(&mut self) -> Result<(), Interrupt> {
        self.write().await?;
        if self.now().duration_since(self.record.started_at) > MAX_RUN {
            return Err(Interrupt::Failed("it took longer than seven days".into()));
        }
        self.check_turn(SignedDuration::ZERO)
    }

    pub(super) fn check_turn(&self, pause: SignedDuration) -> Result<(), Interrupt> {
        if self.taken.elapsed() < TURN {
            return Ok(());
        }
        Err(Interrupt::Later {
            pause,
            attempts: self.attempts,
            why: "other runs have their turn".into(),
        })
    }

    /// Writes down how far the run is, if that is not written yet.
    pub(super) async fn write(&mut self) -> Result<(), Interrupt> {
        if !self.is_ahead {
            return Ok(());
        }
        let store = &self.parts.store;
        let notes = std::mem::take(&mut self.notes);
        let (id, now, leased) = (&self.record.id, self.now(), self.parts.leased());
        let written = store.advance_mirror_run(id, self.owner, &self.progress, notes, now, leased);
        if !written.await? {
            return Err(Interrupt::Lost);
        }
        self.is_ahead = false;
        self.attempts = 0;
        Ok(())
    }

    /// What is known to go wrong with the other registry, so that it is left alone.
    pub(super) fn check_trouble(&self, source: &MirrorSource) -> Result<(), Interrupt> {
        match self.parts.host.trouble(&source.rule) {
            Some(error) => self.interrupt(&error),
            None => Ok(()),
        }
    }

    /// What an error says about one thing; an interruption if it is about the other registry.
    pub(super) fn judge(&self, source: &MirrorSource, error: &UpstreamError) -> Result<String, Interrupt> {
        self.parts.host.note(&source.rule, error);
        self.interrupt(error)?;
        Ok(error.to_string())
    }

    pub(super) fn interrupt(&self, error: &UpstreamError) -> Result<(), Interrupt> {
        // What came further since does not count against it.
        let before = if self.is_ahead { 0 } else { self.attempts };
        let attempts = before + 1;
        let is_over = attempts >= MAX_ATTEMPTS;
        let again = || Interrupt::Later {
            pause: FIRST_PAUSE.checked_mul(1 << before.min(8)).unwrap_or(FIRST_PAUSE),
            attempts,
            why: error.to_string(),
        };
        match error {
            UpstreamError::TooManyRequests { retry_after } => {
                let asked_for = retry_after.and_then(|pause| SignedDuration::try_from(pause).ok());
                Err(Interrupt::Later {
                    pause: asked_for.unwrap_or(LIMITED_PAUSE),
                    attempts: before,
                    why: error.to_string(),
                })
            }
            UpstreamError::Blocked(_) => Err(Interrupt::Failed(error.to_string())),
            UpstreamError::Unreachable(_) | UpstreamError::Timeout(_) if is_over => {
                Err(Interrupt::Failed(error.to_string()))
            }
            UpstreamError::Unreachable(_) | UpstreamError::Timeout(_) => Err(again()),
            // One thing that makes the other registry fail shall not keep the rest from coming.
            UpstreamError::Server { status } if *status >= 500 && !is_over => Err(again()),
            UpstreamError::Server { .. }
            | UpstreamError::Denied
            | UpstreamError::NotFound
            | UpstreamError::Invalid(_) => Ok(()),
        }
    }

    pub(super) fn fail_about(
        &mut self,
        place: &Place<'_>,
        reference: &impl ToString,
        error: &UpstreamError,
    ) -> Result<(), Interrupt> {
        let code = code(error);
        let reason = self.judge(place.source, error)?;
        self.fail(place.name(), Some(reference.to_string()), code, &reason);
        Ok(())
    }

    pub(super) fn fail(&mut self, repository: String, tag: Option<String>, code: &str, reason: &str) {
        self.progress.counts.failed += 1;
        add(&self.parts.metrics.tags_failed, 1);
        self.note(MirrorNoteKind::Failed, repository, tag, code, reason);
    }

    pub(super) fn skip(&mut self, repository: String, tag: Option<String>, code: &str, reason: &str) {
        self.progress.counts.skipped += 1;
        add(&self.parts.metrics.tags_skipped, 1);
        self.note(MirrorNoteKind::Skipped, repository, tag, code, reason);
    }

    pub(super) fn note(
        &mut self,
        kind: MirrorNoteKind,
        repository: String,
        tag: Option<String>,
        code: &str,
        reason: &str,
    ) {
        self.is_ahead = true;
        self.notes.push(MirrorNote {
            kind,
            repository,
            tag,
            code: code.to_owned(),
            reason: reason.chars().take(MAX_REASON).collect(),
        });
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }
}

/// What went wrong, for programs.
pub(super) fn code(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Unreachable(_) => "UPSTREAM_UNREACHABLE",
        UpstreamError::Timeout(_) => "UPSTREAM_TIMEOUT",
        UpstreamError::Denied => "UPSTREAM_ACCESS_DENIED",
        UpstreamError::NotFound => "UPSTREAM_NOT_FOUND",
        UpstreamError::TooManyRequests { .. } => "UPSTREAM_TOO_MANY_REQUESTS",
        UpstreamError::Server { .. } => "UPSTREAM_FAILURE",
        UpstreamError::Invalid(_) => "UPSTREAM_ANSWER_INVALID",
        UpstreamError::Blocked(_) => "UPSTREAM_BLOCKED",
    }
}
