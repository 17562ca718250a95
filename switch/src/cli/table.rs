//! Aligned columns for people, and what stands below them.

use crate::control::protocol::Degraded;

/// Names in one line, at most.
const LISTED: usize = 5;

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

/// What is wrong with each of some peers, a paragraph each; what is wrong with several is said once.
pub(super) fn causes<'a>(peers: impl Iterator<Item = (&'a str, &'a [Degraded])>) -> String {
    let mut causes: Vec<(&str, u64, Vec<&str>)> = Vec::new();
    for (peer, item) in peers.flat_map(|(peer, degraded)| degraded.iter().map(move |item| (peer, item))) {
        match causes.iter_mut().find(|(cause, ..)| *cause == item.cause) {
            Some((_, since_s, peers)) => {
                *since_s = (*since_s).max(item.since_s);
                peers.push(peer);
            }
            None => causes.push((&item.cause, item.since_s, vec![peer])),
        }
    }
    let paragraph = |(cause, since_s, peers): (&str, u64, Vec<&str>)| {
        let more = peers.len().saturating_sub(LISTED);
        let and = if more > 0 { format!(" and {more} more") } else { String::new() };
        let peers = peers[..peers.len() - more].join(", ");
        format!("\n{peers}{and}: {cause} (for {})\n", duration(since_s))
    };
    causes.into_iter().map(paragraph).collect()
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

/// Puts a sentence beside a head, its lines under each other, within so many columns.
pub(super) fn beside(head: &str, sentence: &str, columns: usize) -> String {
    let indent = head.chars().count();
    let (mut text, mut column) = (head.to_owned(), indent);
    for word in sentence.split(' ') {
        let width = word.chars().count();
        if column > indent && column + 1 + width > columns {
            text.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        }
        if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

/// Nanoseconds as a person says them: `850 ns`, `1.2 µs`, `35 µs`, `1.2 ms`.
pub(super) fn nanoseconds(ns: u64) -> String {
    let parts = |unit: u64, name: &str| match ns / unit {
        whole @ 0..10 => format!("{whole}.{} {name}", ns % unit * 10 / unit),
        whole => format!("{whole} {name}"),
    };
    match ns {
        0..1000 => format!("{ns} ns"),
        1000..1_000_000 => parts(1000, "µs"),
        1_000_000..1_000_000_000 => parts(1_000_000, "ms"),
        _ => parts(1_000_000_000, "s"),
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
    fn what_is_wrong_with_several_is_said_once() {
        let item = |cause: &str, since_s| Degraded { cause: cause.to_owned(), since_s };
        let (both, one) = ([item("plain", 9), item("loss", 5)], [item("plain", 70)]);
        let text = causes([("a", &both[..]), ("b", &one)].into_iter());
        assert_eq!(text, "\na, b: plain (for 1m10s)\n\na: loss (for 5s)\n");
        let names: Vec<String> = (1..=7).map(|n| n.to_string()).collect();
        let text = causes(names.iter().map(|name| (name.as_str(), &one[..])));
        assert_eq!(text, "\n1, 2, 3, 4, 5 and 2 more: plain (for 1m10s)\n");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let said: Vec<_> = [5, 65, 3700, 90_000].map(duration).into();
        assert_eq!(said, ["5s", "1m05s", "1h01m", "1d01h"]);
        assert_eq!([850, 1290, 35_900].map(microseconds), ["850us", "1.2ms", "35ms"]);
        let short = [0, 999, 1290, 35_900, 1_200_000, 2_500_000_000].map(nanoseconds);
        assert_eq!(short, ["0 ns", "999 ns", "1.2 µs", "35 µs", "1.2 ms", "2.5 s"]);
    }
}
