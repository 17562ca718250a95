//! The log on standard error: what `say!` says, as far as its level and the limit let it.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::clock;
use crate::control::config::{LogConfig, LogFormat};
use crate::log::{Levels, Limiter, Line, Look, Settings, WINDOW};

/// The log of this process. Dropping it tells what was left out so far.
pub(super) struct Log {
    levels: reload::Handle<Filter, Registry>,
    output: Arc<Output>,
}

impl Log {
    /// Begins to log.
    pub(super) fn start(config: &LogConfig) -> Result<Self> {
        let written = config.level.parse().context("[log] level")?;
        let levels = Levels { written, set: Settings::default() };
        let (filter, levels) = reload::Layer::new(Filter(levels));
        let output = Arc::new(Output { look: look(config.format), limiter: Mutex::default() });
        let registry = tracing_subscriber::registry().with(filter).with(Writer(Arc::clone(&output)));
        registry.try_init().context("cannot start the log")?;
        Ok(Self { levels, output })
    }

    /// Goes over to other levels, if they are others, and tells what was left out in windows that have ended.
    pub(super) fn follow(&self, levels: &Levels, now: Instant) {
        if self.levels.with_current(|current| current.0 != *levels).unwrap_or(false) {
            // The subscriber lives as long as the process.
            let _ = self.levels.reload(Filter(levels.clone()));
        }
        self.output.tell_left_out(now);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.output.tell_left_out(clock::now() + WINDOW);
    }
}

fn look(format: LogFormat) -> Look {
    let terminal = io::stderr().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let text = Look::Text { colour: terminal && !plain };
    match format {
        LogFormat::Auto if terminal => text,
        LogFormat::Text => text,
        LogFormat::Auto | LogFormat::Json => Look::Json,
    }
}

/// Lets through what is to be logged.
struct Filter(Levels);

impl Filter {
    fn lets(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0.of_target(metadata.target())
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.most())
    }
}

/// Writes lines.
struct Writer(Arc<Output>);

impl<S: Subscriber> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.take(&Line::of(event), clock::now());
    }
}

struct Output {
    look: Look,
    /// Locked for each line, by whatever thread says it; workers say none.
    limiter: Mutex<Limiter>,
}

impl Output {
    fn take(&self, line: &Line, now: Instant) {
        self.tell_left_out(now);
        let admits = |limiter: &mut Limiter| {
            line.limited().is_none_or(|(code, subject)| limiter.admit(code, &subject, now))
        };
        if self.with_limiter(admits) {
            self.write(line);
        }
    }

    fn tell_left_out(&self, now: Instant) {
        for left in self.with_limiter(|limiter| limiter.ended(now)) {
            self.write(&Line::of_left_out(left));
        }
    }

    fn with_limiter<T>(&self, work: impl FnOnce(&mut Limiter) -> T) -> T {
        // Counts are never half changed.
        work(&mut self.limiter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, line: &Line) {
        let at = UNIX_EPOCH + Duration::from_millis(clock::unix_ms());
        let text = line.write(self.look, &humantime::format_rfc3339_millis(at).to_string());
        // There is nobody left to tell when standard error is closed.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
