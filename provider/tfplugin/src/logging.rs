// SPDX-License-Identifier: Apache-2.0
//! Log lines as Terraform reads them: one JSON object per line on standard error.
//!
//! Shown to users who set `TF_LOG` or `TF_LOG_PROVIDER`. This crate never logs
//! values of attributes; providers must not log secrets either.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Crates whose detail helps nobody who debugs a provider.
const NOISY: [&str; 5] = ["h2", "hyper", "rustls", "tonic", "tower"];

/// Writes events as Terraform reads them.
pub struct TerraformLayer {
    output: Mutex<Box<dyn Write + Send>>,
    clock: fn() -> SystemTime,
}

impl TerraformLayer {
    /// A layer that writes to `output` and takes the time from `clock`.
    #[must_use]
    pub fn new(output: Box<dyn Write + Send>, clock: fn() -> SystemTime) -> Self {
        Self {
            output: Mutex::new(output),
            clock,
        }
    }
}

impl fmt::Debug for TerraformLayer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TerraformLayer")
    }
}

/// Logs to standard error at `level`, and logs panics. Does nothing if a subscriber is installed already.
pub(crate) fn install(level: LevelFilter) {
    let layer = TerraformLayer::new(Box::new(std::io::stderr()), now);
    let targets = NOISY.iter().map(|target| (*target, level.min(LevelFilter::WARN)));
    let filter = Targets::new().with_default(level).with_targets(targets);
    if tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .is_ok()
    {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let cause = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(place, cause, "panic");
        }));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "log lines carry the real time; everything that decides takes it as an argument"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The fields of a span.
struct SpanFields(Map<String, Json>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for TerraformLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Collector::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<SpanFields>() {
                line.extend(fields.0.clone());
            }
        }
        let mut fields = Collector::default();
        event.record(&mut fields);
        let message = match fields.0.remove("message") {
            Some(Json::String(text)) => text,
            _ => String::new(),
        };
        line.extend(fields.0);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        line.insert("@level".to_owned(), level.into());
        line.insert("@message".to_owned(), message.into());
        line.insert("@module".to_owned(), event.metadata().target().into());
        if let Ok(time) = jiff::Timestamp::try_from((self.clock)()) {
            // Exactly six decimals: Terraform takes any other form for plain text.
            line.insert(
                "@timestamp".to_owned(),
                time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string().into(),
            );
        }
        let mut text = Json::Object(line).to_string();
        text.push('\n');
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // There is no place to report that logging failed.
        output.write_all(text.as_bytes()).ok();
    }
}

#[derive(Default)]
struct Collector(Map<String, Json>);

impl Collector {
    fn put(&mut self, field: &Field, value: Json) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Collector {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_what_terraform_parses() {
        let lines = Lines::default();
        let layer = TerraformLayer::new(Box::new(lines.clone()), || UNIX_EPOCH + Duration::from_millis(1_500));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("call", method = "Plan").entered();
            tracing::warn!(target: "acme", attempts = 3, "try again \"later\"");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let json: Json = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "@level": "warn",
                "@message": "try again \"later\"",
                "@module": "acme",
                "@timestamp": "1970-01-01T00:00:01.500000Z",
                "attempts": 3,
                "method": "Plan",
            })
        );
    }
}
