//! Numbers, bars and lines as `weft top` writes them.

const UNITS: [(&str, u64); 5] =
    [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000), ("", 1)];

/// Bars by eighths, none to full.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Three digits and a unit, such as `843 kpps`, `1.24 Gbit/s`. What is beyond three digits is cut off, never rounded up.
pub(super) fn scaled(value: u64, unit: &str) -> String {
    let (prefix, scale) = UNITS.into_iter().find(|(_, scale)| value >= *scale).unwrap_or(("", 1));
    let (whole, rest) = (value / scale, value % scale);
    let number = match whole {
        _ if scale == 1 => whole.to_string(),
        0..10 => format!("{whole}.{:02}", rest * 100 / scale),
        10..100 => format!("{whole}.{}", rest * 10 / scale),
        _ => whole.to_string(),
    };
    format!("{number} {prefix}{unit}")
}

/// The latest samples as `height` lines of `width` bars, the top line first and the newest sample at the right. `max` is
/// a full bar; whatever is above 0 is seen.
pub(super) fn bars(samples: &[u64], (width, height): (usize, usize), max: u64) -> Vec<String> {
    let shown = &samples[samples.len().saturating_sub(width)..];
    let full = height * 8;
    let level = |sample: u64| match sample {
        0 => 0,
        _ => {
            let level = u128::from(sample) * full as u128 / u128::from(max.max(1));
            usize::try_from(level).unwrap_or(full).clamp(1, full)
        }
    };
    let line = |row: usize| {
        let below = (height - 1 - row) * 8;
        let blank = " ".repeat(width - shown.len());
        let bar = |sample: &u64| BARS[level(*sample).saturating_sub(below).min(8)];
        blank + &shown.iter().map(bar).collect::<String>()
    };
    (0..height).map(line).collect()
}

/// Breaks a text between words into lines of at most `width` columns; a word that is longer is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for (n, part) in letters.chunks(width).enumerate() {
            let gap = usize::from(used > 0 && n == 0);
            if used + gap + part.len() > width {
                lines.push(String::new());
                used = 0;
            } else if gap == 1 {
                push(&mut lines, [' ']);
                used += 1;
            }
            push(&mut lines, part.iter().copied());
            used += part.len();
        }
    }
    lines
}

fn push(lines: &mut [String], letters: impl IntoIterator<Item = char>) {
    if let Some(line) = lines.last_mut() {
        line.extend(letters);
    }
}

/// A text of at most `width` columns; `…` stands for what was cut off.
pub(super) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(std::iter::repeat_n('…', width.min(1))).collect()
}

#[cfg(test)]
mod tests;
