use super::*;

#[test]
fn numbers_have_three_digits_and_are_never_rounded_up() {
    let said: Vec<_> = [0, 999, 1_000, 1_249, 22_190, 843_999, 999_999, 1_249_000_000, 5_000_000_000_000_000]
        .map(|value| scaled(value, "bit/s"))
        .into();
    let expected = [
        "0 bit/s",
        "999 bit/s",
        "1.00 kbit/s",
        "1.24 kbit/s",
        "22.1 kbit/s",
        "843 kbit/s",
        "999 kbit/s",
        "1.24 Gbit/s",
        "5000 Tbit/s",
    ];
    assert_eq!(said, expected);
    assert_eq!(scaled(u64::MAX, "pps"), "18446744 Tpps");
}

#[test]
fn bars_end_at_the_right_and_show_whatever_is_above_none() {
    assert_eq!(bars(&[0, 1, 400, 800], (6, 1), 800), ["   ▁▄█"]);
    assert_eq!(bars(&[9, 9, 100, 50], (2, 1), 100), ["█▄"], "the latest");
    assert_eq!(bars(&[], (3, 1), 0), ["   "]);
    assert_eq!(bars(&[u64::MAX, 1], (2, 1), 1), ["██"], "more than the most is full");
}

#[test]
fn high_bars_fill_from_below() {
    assert_eq!(bars(&[1, 8, 12, 16], (4, 2), 16), ["  ▄█", "▁███"]);
}

#[test]
fn lines_break_between_words_and_long_words_are_cut() {
    assert_eq!(wrap("mend the MTU on the way", 10), ["mend the", "MTU on the", "way"]);
    assert_eq!(wrap("a 0123456789 b", 4), ["a", "0123", "4567", "89 b"]);
    assert_eq!(wrap("", 5), [""]);
    assert_eq!(wrap("ab", 0), ["a", "b"]);
}

#[test]
fn what_is_cut_off_is_said() {
    let said: Vec<_> = [4, 3, 1, 0].map(|width| clip("node", width)).into();
    assert_eq!(said, ["node", "no…", "…", ""]);
}
