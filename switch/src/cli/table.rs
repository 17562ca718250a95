//! Aligned columns for people.

/// Rows under a header; every column but the last is as wide as its widest cell.
///
/// An empty list is said in words by the caller, never as a lone header.
pub(super) fn render<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header = header.map(str::to_owned);
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text, or `-` where there is none.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// A list with commas, or `-` where it is empty.
pub(super) fn list<T: ToString>(values: &[T]) -> String {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

/// Seconds as a person says them: `45s`, `12m30s`, `3h05m`, `2d04h`.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Microseconds as a person says them: `850us`, `1.2ms`, `35ms`.
pub(super) fn microseconds(us: u64) -> String {
    match us {
        0..1000 => format!("{us}us"),
        1000..10_000 => format!("{}.{}ms", us / 1000, us % 1000 / 100),
        _ => format!("{}ms", us / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [["web".to_owned(), String::new()], ["database".to_owned(), "up".to_owned()]];
        assert_eq!(render(["NAME", "STATE"], &rows), "NAME      STATE\nweb\ndatabase  up\n");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let said: Vec<_> = [5, 65, 3700, 90_000].map(duration).into();
        assert_eq!(said, ["5s", "1m05s", "1h01m", "1d01h"]);
        assert_eq!([850, 1290, 35_900].map(microseconds), ["850us", "1.2ms", "35ms"]);
    }
}
