//! The same as text, for scripts and files: all views one below the other, whatever their width.

use super::model::Model;
use super::screen::Screen;
use super::sheet::{Content, Kind, Row, Sort, View, rows};
use super::view::{identity, traffic};

/// Everything, in lines without trailing blanks. Histories are left out.
pub(super) fn text(model: &Model) -> String {
    let joined =
        |said: Vec<(String, _)>| said.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join("  ");
    let mut text = format!("{}\n{}\n", joined(identity(model, &Screen::new())), joined(traffic(model)));
    for view in View::ALL {
        let sort = Sort { column: view.first_sort(), reversed: false };
        text.push('\n');
        match &rows(model, view, sort, "")[..] {
            [] => text.push_str(&format!("{}: {}\n", view.title(), view.empty())),
            rows => push_table(&mut text, view, rows),
        }
    }
    text
}

fn push_table(text: &mut String, view: View, rows: &[Row]) {
    let columns = view.columns();
    let shown: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].kind != Kind::History).collect();
    let titles: Vec<String> = shown.iter().map(|at| columns[*at].title.to_owned()).collect();
    let cell = |row: &Row, at: usize| match row.cells.get(at).map(|cell| &cell.content) {
        // Names come from other nodes: none moves the cursor.
        Some(Content::Text(text)) => text.chars().filter(|letter| !letter.is_control()).collect(),
        _ => String::new(),
    };
    let cells = |row: &Row| shown.iter().map(|at| cell(row, *at)).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows.iter().map(cells)).collect();
    let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    for line in &lines {
        let padded =
            line.iter().zip(&widths).zip(&shown).map(|((cell, width), at)| match columns[*at].kind {
                Kind::Number => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests;
