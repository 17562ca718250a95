//! Where an expression of tcpdump's language goes wrong, found by asking about parts of it: libpcap does not say.

/// The most words of an expression that is looked at.
const MOST: usize = 256;
/// What can follow the beginning of an expression: nothing, a primitive, a number, an address, ...
const ENDS: [&str; 14] = [
    "",
    " ip",
    " 1",
    " 10.0.0.1",
    " 02:00:00:00:00:01",
    " host 10.0.0.1",
    " host 02:00:00:00:00:01",
    " dst 10.0.0.1",
    " 1-2",
    " = 1",
    " 1 = 1",
    "1] = 1",
    "] = 1",
    "[0] = 1",
];

/// Where the word stands that a message quotes, in characters.
pub(super) fn quoted(expression: &str, message: &str) -> Option<usize> {
    let quote = |mark: char| message.split(mark).nth(1).filter(|word| !word.is_empty());
    let word = quote('\'').or_else(|| quote('"'))?;
    let found = words(expression).into_iter().find(|(at, end)| &expression[*at..*end] == word)?;
    Some(characters(expression, found.0))
}

/// The first word, in characters, up to which no expression begins so; the end, if only that comes too early. `compiles`
/// says whether an expression is one, or `None` to stop the search.
pub(super) fn search(expression: &str, mut compiles: impl FnMut(&str) -> Option<bool>) -> Option<usize> {
    let words = words(expression);
    if words.len() > MOST {
        return None;
    }
    // Whether what ends with a word begins an expression: true up to one word, and false from there on.
    let (mut good, mut bad) = (0, words.len() + 1);
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        let begins = begins(&expression[..words[middle - 1].1], &mut compiles)?;
        if begins { good = middle } else { bad = middle }
    }
    let at = words.get(good).map_or_else(|| expression.trim_end().len(), |(start, _)| *start);
    Some(characters(expression, at))
}

fn begins(part: &str, compiles: &mut impl FnMut(&str) -> Option<bool>) -> Option<bool> {
    let open = part.matches('(').count().saturating_sub(part.matches(')').count());
    for end in ENDS {
        if compiles(&format!("{part}{end}{}", ")".repeat(open)))? {
            return Some(true);
        }
    }
    Some(false)
}

/// Where words and runs of signs begin and end, in octets.
fn words(expression: &str) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Blank,
        Word,
        Sign,
        Bracket,
    }
    let kind = |c: char| match c {
        c if c.is_whitespace() => Kind::Blank,
        '(' | ')' | '[' | ']' => Kind::Bracket,
        '&' | '|' | '=' | '<' | '>' | '!' | '+' | '*' | '^' | '%' => Kind::Sign,
        _ => Kind::Word,
    };
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut before = Kind::Blank;
    for (at, c) in expression.char_indices() {
        let (now, end) = (kind(c), at + c.len_utf8());
        match found.last_mut() {
            Some(last) if now == before && [Kind::Word, Kind::Sign].contains(&now) => last.1 = end,
            _ if now != Kind::Blank => found.push((at, end)),
            _ => {}
        }
        before = now;
    }
    found
}

fn characters(expression: &str, octets: usize) -> usize {
    expression[..octets].chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_signs_and_brackets_are_told_apart() {
        let text = "tcp[13]&2 != 0 and(host 10.0.0.1)";
        let found: Vec<_> = words(text).into_iter().map(|(at, end)| &text[at..end]).collect();
        assert_eq!(found, ["tcp", "[", "13", "]", "&", "2", "!=", "0", "and", "(", "host", "10.0.0.1", ")"]);
    }

    #[test]
    fn a_quoted_word_is_the_place() {
        assert_eq!(quoted("ip and host nö.x", "unknown host 'nö.x'"), Some(12));
        assert_eq!(quoted("ip and host y", "unknown host 'x'"), None);
        assert_eq!(quoted("ip", "syntax error"), None);
    }

    #[test]
    fn the_first_word_that_nothing_can_follow_is_the_place() {
        // A language of one word, as often as one likes, with `and` between.
        let compiles = |text: &str| Some(text.split(" and ").all(|part| part == "ip"));
        assert_eq!(search("ip and ip and up and ip", compiles), Some(14));
        assert_eq!(search("ip and", compiles), Some(6), "too early an end");
        assert_eq!(search("up", compiles), Some(0));
        assert_eq!(search("up", |_| None), None, "the search was stopped");
    }
}
