//! What the person at `weft top` chose by keys: view, order, filter, row. No terminal: keys in, what is to be done out.

use super::sheet::{Kind, Row, Sort, View};

/// Letters that a filter has at most.
const MAX_FILTER: usize = 64;

/// A key, whatever terminal it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Another picture.
    Draw,
    /// Another picture, and answers now rather than later.
    Ask,
    /// The shell for a while.
    Suspend,
    /// The end.
    Quit,
}

/// What lies over the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Details,
    Help,
}

/// The choices for one view.
#[derive(Clone, Debug)]
struct Choice {
    sort: Sort,
    /// The selected row; `None` = the first, whichever that is.
    id: Option<String>,
    /// Where it was seen last.
    at: usize,
    /// The first row on the screen.
    offset: usize,
}

/// All that was chosen.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    view: View,
    choices: [Choice; View::ALL.len()],
    filter: String,
    is_typing: bool,
    over: Over,
    /// Lines of details or help that were scrolled by.
    scrolled: usize,
    is_paused: bool,
    /// Rows that the screen had room for.
    page: usize,
}

impl Screen {
    /// Peers, the worst first.
    pub(super) fn new() -> Self {
        let choice = |view: View| Choice {
            sort: Sort { column: view.first_sort(), reversed: false },
            id: None,
            at: 0,
            offset: 0,
        };
        Self {
            view: View::Peers,
            choices: View::ALL.map(choice),
            filter: String::new(),
            is_typing: false,
            over: Over::Nothing,
            scrolled: 0,
            is_paused: false,
            page: 1,
        }
    }

    pub(super) const fn view(&self) -> View {
        self.view
    }

    pub(super) const fn over(&self) -> Over {
        self.over
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) const fn is_typing(&self) -> bool {
        self.is_typing
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub(super) const fn scrolled(&self) -> usize {
        self.scrolled
    }

    pub(super) fn sort(&self) -> Sort {
        self.choice().sort
    }

    pub(super) fn offset(&self) -> usize {
        self.choice().offset
    }

    /// The index of the selected row; none when there are no rows.
    pub(super) fn selected(&self, rows: &[Row]) -> Option<usize> {
        let choice = self.choice();
        let last = rows.len().checked_sub(1)?;
        let Some(id) = &choice.id else { return Some(0) };
        // What is gone leaves the place to its successor.
        Some(rows.iter().position(|row| row.id == *id).unwrap_or(choice.at.min(last)))
    }

    /// The picture was drawn so.
    pub(super) fn drawn(&mut self, rows: &[Row], offset: usize, page: usize, scrolled: usize) {
        let selected = self.selected(rows);
        let choice = self.choice_mut();
        choice.at = selected.unwrap_or(0);
        choice.offset = offset;
        self.page = page.max(1);
        self.scrolled = scrolled;
    }

    /// Takes a key, on a screen with these rows.
    pub(super) fn press(&mut self, key: Key, rows: &[Row]) -> Action {
        match key {
            Key::Interrupt => return Action::Quit,
            Key::Suspend => return Action::Suspend,
            _ => {}
        }
        if self.is_typing {
            self.press_typing(key);
            return Action::Draw;
        }
        match key {
            Key::Char('q') => return Action::Quit,
            Key::Char(' ') => return Action::Ask,
            Key::Char('?' | 'h') if self.over == Over::Help => self.put_over(Over::Nothing),
            Key::Char('?' | 'h') => self.put_over(Over::Help),
            Key::Esc if self.over != Over::Nothing => self.put_over(Over::Nothing),
            Key::Esc => self.filter.clear(),
            Key::Char('p') => {
                self.is_paused = !self.is_paused;
                return if self.is_paused { Action::Draw } else { Action::Ask };
            }
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(View::ALL.len() - 1),
            Key::Char(digit @ '1'..='5') => self.show(View::ALL[digit as usize - '1' as usize]),
            _ if self.over != Over::Nothing => self.press_scrolling(key),
            Key::Enter if !rows.is_empty() => {
                self.put_over(Over::Details);
                return Action::Ask;
            }
            _ => self.press_listing(key, rows),
        }
        Action::Draw
    }

    fn press_typing(&mut self, key: Key) {
        match key {
            Key::Char(letter) if self.filter.chars().count() < MAX_FILTER => self.filter.push(letter),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.is_typing = false,
            Key::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn press_scrolling(&mut self, key: Key) {
        self.scrolled = match key {
            Key::Up | Key::Char('k') => self.scrolled.saturating_sub(1),
            Key::Down | Key::Char('j') => self.scrolled.saturating_add(1),
            Key::PageUp => self.scrolled.saturating_sub(self.page),
            Key::PageDown => self.scrolled.saturating_add(self.page),
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => usize::MAX,
            _ => self.scrolled,
        };
    }

    fn press_listing(&mut self, key: Key, rows: &[Row]) {
        let at = self.selected(rows).unwrap_or(0);
        match key {
            Key::Up | Key::Char('k') => self.select(rows, at.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.select(rows, at + 1),
            Key::PageUp => self.select(rows, at.saturating_sub(self.page)),
            Key::PageDown => self.select(rows, at + self.page),
            Key::Home | Key::Char('g') => self.select(rows, 0),
            Key::End | Key::Char('G') => self.select(rows, rows.len()),
            Key::Char('s' | '>') => self.sort_by_next(1),
            Key::Char('S' | '<') => self.sort_by_next(self.view.columns().len() - 1),
            Key::Char('r') => {
                let sort = &mut self.choice_mut().sort;
                sort.reversed = !sort.reversed;
            }
            Key::Char('/') => {
                self.is_typing = true;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn put_over(&mut self, over: Over) {
        self.over = over;
        self.scrolled = 0;
    }

    fn turn(&mut self, steps: usize) {
        let at = View::ALL.iter().position(|view| *view == self.view).unwrap_or(0);
        self.show(View::ALL[(at + steps) % View::ALL.len()]);
    }

    fn show(&mut self, view: View) {
        self.view = view;
        self.put_over(Over::Nothing);
    }

    /// The first row is not held by name: whatever becomes the first is selected then.
    fn select(&mut self, rows: &[Row], at: usize) {
        let at = at.min(rows.len().saturating_sub(1));
        self.choice_mut().id = rows.get(at).filter(|_| at > 0).map(|row| row.id.clone());
    }

    /// Goes so many columns on, past those that are not sorted by.
    fn sort_by_next(&mut self, steps: usize) {
        let columns = self.view.columns();
        let mut column = self.sort().column;
        for _ in columns {
            column = (column + steps) % columns.len();
            if columns[column].kind != Kind::History {
                break;
            }
        }
        self.choice_mut().sort = Sort { column, reversed: false };
    }

    fn choice(&self) -> &Choice {
        &self.choices[self.view as usize]
    }

    fn choice_mut(&mut self) -> &mut Choice {
        &mut self.choices[self.view as usize]
    }
}

#[cfg(test)]
mod tests;
