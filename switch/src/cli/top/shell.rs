//! `weft top` on a terminal: keys and answers in, pictures out, in one thread. The terminal is given back however it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::asker::{AskError, Asker};
use super::details::question;
use super::model::Model;
use super::screen::{Action, Key, Over, Screen};
use super::sheet::{Row, rows};
use super::view::{Palette, Picture, draw};
use crate::clock;

/// How long a signal waits at most, when no key is pressed.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a daemon that does not answer is tried again, at most.
const RETRY: Duration = Duration::from_secs(1);

/// Shows what the asker brings each `interval`, until somebody quits or a signal ends it.
///
/// # Errors
///
/// The terminal does not do what it should.
pub(super) fn interact(asker: Asker, interval: Duration, palette: Palette) -> io::Result<()> {
    let is_told = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, is_told.clone())?;
    }
    let (model, screen) = (Model::default(), Screen::new());
    let mut shell = Shell { asker, interval, palette, model, screen, next: clock::now(), is_told };
    let mut screen = Taken::take()?;
    while shell.turn(&mut screen)? {}
    Ok(())
}

/// A terminal that is ours while this lives.
struct Taken(DefaultTerminal);

impl Taken {
    /// A panic gives the terminal back before it says anything.
    fn take() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| {
            // Half of it may have been done.
            let _ = ratatui::try_restore();
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = ratatui::try_restore();
        let _ = self.0.show_cursor();
    }
}

/// Everything between the keys and the picture.
struct Shell {
    asker: Asker,
    interval: Duration,
    palette: Palette,
    model: Model,
    screen: Screen,
    /// When the daemon is asked again.
    next: Instant,
    is_told: Arc<AtomicBool>,
}

impl Shell {
    /// One picture, and what happens until there is something new; whether it goes on.
    fn turn(&mut self, terminal: &mut Taken) -> io::Result<bool> {
        let rows = self.rows();
        self.draw(terminal, &rows)?;
        loop {
            if self.is_told.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if !wait_for_keys(self.patience(clock::now()))? {
                return Ok(false);
            }
            if event::poll(Duration::ZERO)? {
                match self.handle(&event::read()?, &rows) {
                    Some(Action::Quit) => return Ok(false),
                    Some(Action::Suspend) => suspend(terminal)?,
                    Some(Action::Ask) => self.ask(clock::now()),
                    Some(Action::Draw) | None => {}
                }
                return Ok(true);
            }
            if self.has_news(clock::now()) {
                return Ok(true);
            }
        }
    }

    /// Asks when it is time, and looks for answers; whether any came, or will not.
    fn has_news(&mut self, now: Instant) -> bool {
        if self.asker.is_asking() {
            return match self.asker.look(now) {
                Ok(None) => false,
                Ok(Some(answers)) => {
                    self.model.take(answers);
                    true
                }
                Err(error) => {
                    self.lose(&error, now);
                    true
                }
            };
        }
        if now >= self.next && !self.screen.is_paused() {
            self.ask(now);
            return !self.asker.is_asking();
        }
        false
    }

    fn rows(&self) -> Vec<Row> {
        rows(&self.model, self.screen.view(), self.screen.sort(), self.screen.filter())
    }

    fn draw(&mut self, terminal: &mut Taken, rows: &[Row]) -> io::Result<()> {
        let picture = Picture { model: &self.model, screen: &self.screen, rows, palette: self.palette };
        let mut shown = None;
        terminal.0.draw(|frame| shown = Some(draw(&picture, frame.area(), frame.buffer_mut())))?;
        if let Some(shown) = shown {
            self.screen.drawn(rows, shown.offset, shown.page, shown.scrolled);
        }
        Ok(())
    }

    /// No longer than until the next question; not at all while answers are awaited, which are looked for instead.
    fn patience(&self, now: Instant) -> Duration {
        if self.asker.is_asking() {
            return Duration::ZERO;
        }
        if self.screen.is_paused() {
            return PATIENCE;
        }
        self.next.saturating_duration_since(now).min(PATIENCE)
    }

    fn ask(&mut self, now: Instant) {
        self.next = now + self.interval;
        let rows = self.rows();
        let selected = self.screen.selected(&rows).and_then(|at| rows.get(at));
        let shown = selected.filter(|_| self.screen.over() == Over::Details);
        let more = shown.and_then(|row| question(&self.model, self.screen.view(), &row.id));
        if let Err(error) = self.asker.ask(more.as_ref(), now) {
            self.lose(&error, now);
        }
    }

    fn lose(&mut self, error: &AskError, now: Instant) {
        self.model.lose(error.to_string());
        self.next = now + self.interval.min(RETRY);
    }

    fn handle(&mut self, event: &Event, rows: &[Row]) -> Option<Action> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                Some(self.screen.press(translate(key)?, rows))
            }
            _ => None,
        }
    }
}

/// Waits for a key, a signal or so long; false when the terminal is gone. The library would read its end for ever.
fn wait_for_keys(patience: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec::try_from(patience).ok();
    match poll(&mut keys, limit.as_ref()) {
        Ok(_) => Ok(!keys[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)),
        // A signal: whoever waits looks which.
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Leaves the terminal to the shell until it brings us back.
fn suspend(terminal: &mut Taken) -> io::Result<()> {
    ratatui::try_restore()?;
    terminal.0.show_cursor()?;
    // The whole job, with sudo if it is part of it, as the terminal does for Ctrl-Z.
    kill_current_process_group(Signal::TSTP)?;
    terminal.0 = ratatui::try_init()?;
    terminal.0.clear()
}

fn translate(key: &KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
        KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Suspend,
        KeyCode::Char(_) if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            return None;
        }
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab | KeyCode::Right => Key::Tab,
        KeyCode::BackTab | KeyCode::Left => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
