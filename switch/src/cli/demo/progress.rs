//! The line that says what the demo is doing, and the time limit that ends it.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::cli::{Outcome, complain};

/// How long everything may take before the demo gives up.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Columns that the line may take: with one to spare, no terminal of 80 wraps it.
const WIDTH: usize = 79;

/// Shown on standard error, and on a terminal only.
pub(super) struct Progress {
    /// What is going on; absent once the time limit does not hold any more.
    step: Arc<Mutex<Option<&'static str>>>,
    is_terminal: bool,
    /// Whether there is a line to write over.
    visible: Cell<bool>,
    done: u32,
    steps: u32,
}

impl Progress {
    /// Starts the clock of a demo that takes so many steps.
    pub(super) fn start(steps: u32) -> Self {
        let step = Arc::new(Mutex::new(Some("starting")));
        let watched = Arc::clone(&step);
        thread::spawn(move || {
            thread::sleep(TIME_LIMIT);
            let step = *watched.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(step) = step {
                complain(format_args!(
                    "the demo was not done within {} s, it was still {step}: is this machine very busy? Try fewer \
                     --nodes and --pods",
                    TIME_LIMIT.as_secs()
                ));
                std::process::exit(Outcome::Failed as i32);
            }
        });
        Self { step, is_terminal: io::stderr().is_terminal(), visible: Cell::new(false), done: 0, steps }
    }

    /// Says what is going on from now on.
    pub(super) fn step(&mut self, step: &'static str) {
        self.set(Some(step));
        self.done += 1;
        self.show(&format!("weft demo: {}/{} {step} ...", self.done, self.steps));
    }

    /// Takes the line away, to write something else.
    pub(super) fn clear(&self) {
        self.show("");
    }

    /// Ends the time limit.
    pub(super) fn finish(&self) {
        self.set(None);
        self.clear();
    }

    fn set(&self, step: Option<&'static str>) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// Writes over the line. Blanks instead of escape codes, so that any terminal can show it.
    fn show(&self, text: &str) {
        if self.is_terminal && (self.visible.get() || !text.is_empty()) {
            self.visible.set(!text.is_empty());
            let _ = write!(io::stderr(), "\r{:WIDTH$}\r{text}", "");
        }
    }
}
