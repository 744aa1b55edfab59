// SPDX-License-Identifier: Apache-2.0
//! Progress bars for blobs that travel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hythe_client::registry::{BlobOutcome, Progress, Unobserved};
use hythe_model::{Descriptor, Digest};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::human;
use crate::writer::Writer;

/// Bars on standard error if somebody watches, else nothing.
pub(crate) fn progress(writer: &Writer) -> Arc<dyn Progress> {
    if writer.shows_progress() {
        Arc::new(Bars::new())
    } else {
        Arc::new(Unobserved)
    }
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            bars: Mutex::new(HashMap::new()),
        }
    }

    fn with(&self, blob: &Digest, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.bars.lock().unwrap_or_else(PoisonError::into_inner).get(blob) {
            act(bar);
        }
    }
}

impl Progress for Bars {
    fn started(&self, blob: &Descriptor) {
        let template =
            "{prefix} [{bar:30}] {decimal_bytes:>9} of {decimal_total_bytes:<9} {decimal_bytes_per_sec:>11} {msg}";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = self.all.add(
            ProgressBar::new(blob.size)
                .with_style(style)
                .with_prefix(human::short(&blob.digest)),
        );
        self.bars
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(blob.digest, bar);
    }

    fn advanced(&self, blob: &Digest, bytes: u64) {
        self.with(blob, |bar| bar.set_position(bytes));
    }

    fn finished(&self, blob: &Digest, outcome: BlobOutcome) {
        self.with(blob, |bar| {
            bar.finish_with_message(match outcome {
                BlobOutcome::Transferred => "done",
                BlobOutcome::Present => "already there",
            });
        });
    }
}
