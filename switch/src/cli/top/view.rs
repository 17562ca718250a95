//! Draws what `weft top` knows into a buffer of cells, of any size: what matters most stays where there is no room for
//! all.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::details::{Said, about, details, help};
use super::model::{Meter, Model, SAMPLES};
use super::screen::{Over, Screen};
use super::sheet::{Column, Content, Kind, Row, Tone, View};
use super::text::{bars, clip, scaled, wrap};
use crate::cli::table;
use crate::control::protocol::Health;

/// Columns of the screen between two parts of a line.
const GAP: usize = 2;
/// Columns of this rank and above come together or not at all.
const TOGETHER: u8 = 7;
/// In so many answers an imbalance must be the same before it is shown: frames on their way come and go.
const STANDING: u32 = 3;

/// All that a picture is made of.
pub(super) struct Picture<'a> {
    pub(super) model: &'a Model,
    pub(super) screen: &'a Screen,
    /// Of the view on the screen.
    pub(super) rows: &'a [Row],
    pub(super) palette: Palette,
}

/// What the picture had room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The first row.
    pub(super) offset: usize,
    /// Rows or lines at most.
    pub(super) page: usize,
    /// Lines of details or help above the screen.
    pub(super) scrolled: usize,
}

/// With which means tones are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    /// The terminal's own colours.
    Colour,
    /// Bold and faint letters only.
    Plain,
}

impl Palette {
    fn style(self, tone: Tone) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        match (tone, self) {
            (Tone::Plain, _) | (Tone::Good, Self::Plain) => Style::new(),
            (Tone::Dim, _) => Style::new().add_modifier(Modifier::DIM),
            (_, Self::Plain) => bold,
            (Tone::Good, Self::Colour) => Style::new().fg(Color::Green),
            (Tone::Warn, Self::Colour) => Style::new().fg(Color::Yellow),
            (Tone::Bad, Self::Colour) => bold.fg(Color::Red),
            (Tone::Title, Self::Colour) => bold.fg(Color::Cyan),
        }
    }
}

/// Draws the picture.
pub(super) fn draw(picture: &Picture<'_>, area: Rect, buffer: &mut Buffer) -> Shown {
    let mut canvas = Canvas { buffer, palette: picture.palette };
    let (model, height, mut rest) = (picture.model, area.height, area);
    canvas.parts(cut(&mut rest, 1), &identity(model, picture.screen));
    let lines = match (height, area.width) {
        (..8, _) => 0,
        (_, ..60) => 2,
        // Why it does not answer is a sentence.
        _ if model.lost.is_some() => 2,
        _ => 1,
    };
    draw_traffic(&mut canvas, cut(&mut rest, lines), model);
    draw_views(&mut canvas, cut(&mut rest, u16::from(height >= 5)), picture);
    let footer = cut_below(&mut rest, u16::from(height >= 7));
    draw_footer(&mut canvas, footer, picture.screen);
    match picture.screen.over() {
        Over::Nothing => draw_list(&mut canvas, rest, picture),
        Over::Help => draw_text(&mut canvas, rest, picture.screen, ("help", &help(text_width(rest))[..])),
        Over::Details => {
            let at = picture.screen.selected(picture.rows).and_then(|at| picture.rows.get(at));
            let id = at.map_or("", |row| row.id.as_str());
            let lines = details(model, picture.screen.view(), id, text_width(rest));
            draw_text(&mut canvas, rest, picture.screen, (id, &lines[..]))
        }
    }
}

/// Who this is and how it is.
pub(super) fn identity(model: &Model, screen: &Screen) -> Vec<Said> {
    let mut said = Vec::new();
    if let Some(status) = &model.status {
        said.push((status.node.clone(), Tone::Title));
    }
    if model.lost.is_some() {
        said.push(("no daemon: trying again".to_owned(), Tone::Bad));
    } else if let Some(status) = &model.status {
        said.push(match status.state {
            Health::Ok => ("ok".to_owned(), Tone::Good),
            Health::Degraded => (format!("degraded ({})", status.degraded.len()), Tone::Warn),
        });
    } else {
        said.push(("asking the daemon".to_owned(), Tone::Dim));
    }
    if screen.is_paused() {
        said.push(("paused".to_owned(), Tone::Warn));
    }
    if let Some(status) = &model.status {
        said.push((format!("up {}", table::duration(status.uptime_s)), Tone::Plain));
        said.push((format!("weft {}", status.version), Tone::Plain));
        let plural = if status.workers == 1 { "" } else { "s" };
        said.push((format!("{} worker{plural}", status.workers), Tone::Plain));
    }
    if model.omitted > 0 {
        said.push((format!("{} rows left out", model.omitted), Tone::Warn));
    }
    said
}

/// What the tunnels carry, and what is lost.
pub(super) fn traffic(model: &Model) -> Vec<Said> {
    let pace = |name: &str, meter: &Meter| {
        let now =
            meter.pace.map(|pace| format!("{} {}", scaled(pace.bits, "bit/s"), scaled(pace.frames, "pps")));
        (format!("{name} {}", table::or_dash(now)), Tone::Plain)
    };
    let warn = |is_bad: bool| if is_bad { Tone::Warn } else { Tone::Plain };
    let mut said = vec![pace("in", &model.inbound), pace("out", &model.outbound)];
    let drops = model.dropped.pace.map(|pace| pace.frames);
    let text = format!("drops {}", table::or_dash(drops.map(|drops| scaled(drops, "pps"))));
    said.push((text, warn(drops.unwrap_or(0) > 0)));
    if model.imbalance != 0 && model.imbalance_stands >= STANDING {
        said.push((format!("ledger off by {}", model.imbalance), Tone::Bad));
    }
    said.push((format!("lost before {}", model.lost_before), warn(model.lost_before > 0)));
    said
}

fn draw_traffic(canvas: &mut Canvas<'_>, mut area: Rect, model: &Model) {
    if let Some(why) = &model.lost {
        for line in wrap(why, usize::from(area.width)) {
            let line_area = cut(&mut area, 1);
            canvas.text(line_area, 0, &line, canvas.palette.style(Tone::Warn));
        }
        return;
    }
    let said = traffic(model);
    let mut left = &said[..];
    while area.height > 0 && !left.is_empty() {
        let drawn = canvas.parts(cut(&mut area, 1), left);
        left = &left[drawn..];
    }
}

/// The names of the views, with how much there is in each; and how rows are sorted.
fn draw_views(canvas: &mut Canvas<'_>, area: Rect, picture: &Picture<'_>) {
    let (model, screen) = (picture.model, picture.screen);
    let count = |view: View| match view {
        View::Peers => model.peers.len(),
        View::Networks => model.networks.len(),
        View::Ports => model.ports.len(),
        View::Drops => model.reasons.values().filter(|reason| reason.total() > 0).count(),
        View::Causes => model.causes.len(),
    };
    let is_narrow = area.width < 66;
    let mut x = 0;
    for (n, view) in View::ALL.into_iter().enumerate() {
        let text = if is_narrow {
            format!("{}{}", n + 1, view.title())
        } else {
            format!("{} {} {}", n + 1, view.title(), count(view))
        };
        let is_bad = matches!(view, View::Causes) && count(view) > 0;
        let style = canvas.palette.style(if is_bad { Tone::Warn } else { Tone::Plain });
        let style = if view == screen.view() { style.add_modifier(Modifier::REVERSED) } else { style };
        x = canvas.text(area, x, &text, style) + if is_narrow { 1 } else { GAP };
    }
    let sort = screen.sort();
    let title = screen.view().columns().get(sort.column).map_or("", |column| column.title);
    let text = format!("by {title}{}", if sort.reversed { ", reversed" } else { "" });
    let start = usize::from(area.width).saturating_sub(text.chars().count());
    if start >= x {
        canvas.text(area, start, &text, canvas.palette.style(Tone::Dim));
    }
}

fn draw_footer(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen) {
    let plain = |text: &str| (text.to_owned(), Tone::Dim);
    let keys = match (screen.is_typing(), screen.over()) {
        (true, _) => {
            let typed = (format!("filter: {}_", screen.filter()), Tone::Title);
            vec![typed, plain("Enter keep"), plain("Esc end")]
        }
        (false, Over::Nothing) => {
            let filter = (format!("filter: {}", screen.filter()), Tone::Title);
            let keys = [
                "q quit",
                "? help",
                "Tab view",
                "/ filter",
                "s sort",
                "r reverse",
                "Enter details",
                "p pause",
            ];
            let filter = Some(filter).filter(|_| !screen.filter().is_empty());
            filter.into_iter().chain(keys.map(plain)).collect()
        }
        (false, _) => ["Esc back", "q quit", "Up, Down scroll", "Tab view", "p pause"].map(plain).into(),
    };
    canvas.parts(area, &keys);
}

/// The list, and what is worth knowing of the selected row below it.
fn draw_list(canvas: &mut Canvas<'_>, area: Rect, picture: &Picture<'_>) -> Shown {
    let (screen, rows, mut rest) = (picture.screen, picture.rows, area);
    let selected = screen.selected(rows).and_then(|at| rows.get(at));
    let said = selected.map(|row| (row.id.as_str(), paragraphs(picture, row, text_width(area))));
    let lines = said.as_ref().map_or(0, |(_, lines)| lines.len());
    let below = cut_below(&mut rest, lines_below(area.height, rows.len(), lines));
    let places = fit(screen.view().columns(), rows, usize::from(area.width));
    draw_titles(canvas, cut(&mut rest, 1), screen, &places);
    let page = usize::from(rest.height);
    let Some(selected) = screen.selected(rows) else {
        let text = match screen.filter() {
            "" => screen.view().empty().to_owned(),
            filter => format!("no row has \"{filter}\" in it"),
        };
        canvas.text(cut(&mut rest, 1), 0, &text, canvas.palette.style(Tone::Dim));
        return Shown { page, ..Shown::default() };
    };
    let lowest = (selected + 1).saturating_sub(page).min(selected);
    let offset = screen.offset().clamp(lowest, selected).min(rows.len().saturating_sub(page).max(lowest));
    let most = most(rows);
    for (at, row) in rows.iter().enumerate().skip(offset).take(page) {
        let line = cut(&mut rest, 1);
        draw_row(canvas, line, row, &places, most);
        if at == selected {
            // One colour: others would be patches.
            canvas.buffer.set_style(line, Style::new().fg(Color::Reset).add_modifier(Modifier::REVERSED));
        }
    }
    if let Some((title, lines)) = said {
        draw_about(canvas, below, title, &lines);
    }
    Shown { offset, page, scrolled: 0 }
}

fn draw_titles(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen, places: &[Place]) {
    let columns = screen.view().columns();
    for place in places {
        let column = &columns[place.column];
        let style = canvas.palette.style(Tone::Title);
        let is_sorted = place.column == screen.sort().column;
        let style = if is_sorted { style.add_modifier(Modifier::UNDERLINED) } else { style };
        let text = clip(column.title, place.width);
        let start = if column.kind == Kind::Number { place.width - text.chars().count() } else { 0 };
        canvas.text(area, place.x + start, &text, style);
    }
}

fn draw_row(canvas: &mut Canvas<'_>, area: Rect, row: &Row, places: &[Place], most: u64) {
    for place in places {
        let Some(cell) = row.cells.get(place.column) else { continue };
        let text = match &cell.content {
            Content::Text(text) => clip(text, place.width),
            Content::History(samples) => bars(samples, (place.width, 1), most).concat(),
        };
        let start = if place.is_right { place.width.saturating_sub(text.chars().count()) } else { 0 };
        canvas.text(area, place.x + start, &text, canvas.palette.style(cell.tone));
    }
}

/// What is worth knowing of a row, in lines.
fn paragraphs(picture: &Picture<'_>, row: &Row, width: usize) -> Vec<Said> {
    let said = about(picture.model, picture.screen.view(), &row.id);
    let lines = |(text, tone): &Said| wrap(text, width).into_iter().map(|line| (line, *tone)).collect();
    said.iter().flat_map::<Vec<_>, _>(lines).collect()
}

/// How many lines the part below the list takes, its title included: always as many, so that the list stays, and more where
/// rows leave some.
fn lines_below(height: u16, rows: usize, lines: usize) -> u16 {
    if height < 12 {
        return 0;
    }
    let unused = height.saturating_sub(u16::try_from(rows).unwrap_or(u16::MAX)).saturating_sub(1);
    let wanted = u16::try_from(lines + 1).unwrap_or(u16::MAX);
    (1 + (height / 5).clamp(2, 8)).max(wanted.min(unused))
}

fn draw_about(canvas: &mut Canvas<'_>, mut area: Rect, title: &str, lines: &[Said]) {
    canvas.rule(cut(&mut area, 1), title);
    let (room, width) = (usize::from(area.height), text_width(area));
    for (at, (line, tone)) in lines.iter().take(room).enumerate() {
        let is_cut = at + 1 == room && lines.len() > room;
        let line = if is_cut { clip(&format!("{line}…"), width) } else { line.clone() };
        canvas.text(cut(&mut area, 1), 0, &line, canvas.palette.style(*tone));
    }
}

/// Details or help, from the line that it was scrolled to.
fn draw_text(canvas: &mut Canvas<'_>, area: Rect, screen: &Screen, (title, lines): (&str, &[Said])) -> Shown {
    let mut rest = area;
    canvas.rule(cut(&mut rest, 1), title);
    let page = usize::from(rest.height);
    let scrolled = screen.scrolled().min(lines.len().saturating_sub(page));
    for (text, tone) in lines.iter().skip(scrolled).take(page) {
        canvas.text(cut(&mut rest, 1), 0, text, canvas.palette.style(*tone));
    }
    Shown { offset: screen.offset(), page, scrolled }
}

/// Where a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    column: usize,
    x: usize,
    width: usize,
    is_right: bool,
}

/// Places for as many columns as have room, those of low ranks first; prose and history take what is left.
fn fit(columns: &[Column], rows: &[Row], width: usize) -> Vec<Place> {
    let natural: Vec<usize> = (0..columns.len()).map(|at| natural_width(&columns[at], at, rows)).collect();
    let least = |at: usize| match columns[at].kind {
        Kind::Words => natural[at].min((width / 4).max(16)),
        Kind::Number => natural[at],
        Kind::Prose | Kind::History => columns[at].width,
    };
    // Wider where that costs no column.
    let all: usize = (0..columns.len()).map(|at| least(at) + GAP).sum();
    let gap = if all <= width + GAP { GAP } else { 1 };
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|at| columns[*at].rank);
    let (mut taken, mut used) = (vec![None; columns.len()], 0);
    for group in by_rank.chunk_by(|a, b| columns[*a].rank == columns[*b].rank) {
        let together: usize = group.iter().map(|at| least(*at) + gap).sum();
        if columns[group[0]].rank >= TOGETHER && used + together > width {
            continue;
        }
        for &at in group {
            let is_first = taken.iter().all(Option::is_none);
            let more = least(at) + if is_first { 0 } else { gap };
            if is_first || used + more <= width {
                taken[at] = Some(least(at).min(width));
                used = (used + more).min(width);
            }
        }
    }
    spread(columns, &natural, &mut taken, width.saturating_sub(used));
    let mut x = 0;
    let place = |(column, width): (usize, usize)| {
        let place = Place { column, x, width, is_right: columns[column].kind == Kind::Number };
        x += width + gap;
        place
    };
    taken.into_iter().enumerate().filter_map(|(at, width)| Some((at, width?))).map(place).collect()
}

/// Gives what is left to prose, as far as it needs it, and to the history.
fn spread(columns: &[Column], natural: &[usize], taken: &mut [Option<usize>], mut left: usize) {
    let of_kind = |taken: &[Option<usize>], kind: Kind| {
        (0..columns.len()).find(|at| columns[*at].kind == kind && taken[*at].is_some())
    };
    let history = of_kind(taken, Kind::History);
    if let Some(at) = of_kind(taken, Kind::Prose) {
        let room = if history.is_some() { left * 2 / 3 } else { left };
        let more = natural[at].saturating_sub(columns[at].width).min(room);
        taken[at] = taken[at].map(|width| width + more);
        left -= more;
    }
    if let Some(at) = history {
        taken[at] = taken[at].map(|width| (width + left).min(SAMPLES));
    }
}

/// The columns of the screen that the title and the widest cell take.
fn natural_width(column: &Column, at: usize, rows: &[Row]) -> usize {
    let widest = rows.iter().filter_map(|row| match &row.cells.get(at)?.content {
        Content::Text(text) => Some(text.chars().count()),
        Content::History(_) => None,
    });
    widest.max().unwrap_or(0).max(column.title.len()).max(column.width)
}

/// The largest sample of all histories: what is a full bar.
fn most(rows: &[Row]) -> u64 {
    let histories = rows.iter().flat_map(|row| &row.cells).filter_map(|cell| match &cell.content {
        Content::History(samples) => samples.iter().copied().max(),
        Content::Text(_) => None,
    });
    histories.max().unwrap_or(0)
}

/// Takes lines from the top of an area, as many as it has.
fn cut(area: &mut Rect, lines: u16) -> Rect {
    let height = lines.min(area.height);
    let taken = Rect { height, ..*area };
    *area = Rect { y: area.y + height, height: area.height - height, ..*area };
    taken
}

/// The same from the bottom.
fn cut_below(area: &mut Rect, lines: u16) -> Rect {
    let height = lines.min(area.height);
    area.height -= height;
    Rect { y: area.y + area.height, height, ..*area }
}

/// Columns that text has, a blank at the right.
fn text_width(area: Rect) -> usize {
    usize::from(area.width).saturating_sub(1)
}

/// A buffer that is written to within an area.
struct Canvas<'a> {
    buffer: &'a mut Buffer,
    palette: Palette,
}

impl Canvas<'_> {
    /// Writes into the first line of an area, from column `x` of it; returns the column behind the text.
    fn text(&mut self, area: Rect, x: usize, text: &str, style: Style) -> usize {
        let area = area.intersection(self.buffer.area);
        let end = x + text.chars().count();
        let Ok(start) = u16::try_from(x) else { return end };
        if area.height > 0 && start < area.width {
            let room = usize::from(area.width - start);
            self.buffer.set_stringn(area.x + start, area.y, text, room, style);
        }
        end
    }

    /// Writes as many parts as one line takes whole; the first in any case. Returns how many.
    fn parts(&mut self, area: Rect, parts: &[Said]) -> usize {
        let (mut x, width) = (0, usize::from(area.width));
        for (n, (text, tone)) in parts.iter().enumerate() {
            if n > 0 && x + text.chars().count() > width {
                return n;
            }
            x = self.text(area, x, text, self.palette.style(*tone)) + GAP;
        }
        parts.len()
    }

    /// A line across the area with a title in it.
    fn rule(&mut self, area: Rect, title: &str) {
        let width = usize::from(area.width);
        let title = clip(title, width.saturating_sub(8));
        let line = "─".repeat(width.saturating_sub(title.chars().count() + 4));
        let x = self.text(area, 0, "── ", self.palette.style(Tone::Dim));
        let x = self.text(area, x, &title, self.palette.style(Tone::Title));
        self.text(area, x, &format!(" {line}"), self.palette.style(Tone::Dim));
    }
}

#[cfg(test)]
mod tests;
