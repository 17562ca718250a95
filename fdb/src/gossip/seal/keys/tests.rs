//! What a ring of keys takes, and what a key file may say.

use proptest::prelude::*;

use super::*;

fn key(n: u8) -> Key {
    Key::new([n; KEY_OCTETS])
}

#[test]
fn debug_output_never_shows_a_key() {
    let text = format!("{:?}", Keyring::new(key(0xab)));
    assert!(!text.contains("abab") && !text.contains("171"), "{text}");
}

#[test]
fn a_key_file_names_the_line_that_is_wrong() {
    let good = key(1).to_hex();
    let cases = [
        (format!("# only a comment\n\n{}\nzz\n", good.as_str()), KeyFileError::NotAKey { line: 4, found: 2 }),
        (format!("{}g", &good[1..]), KeyFileError::NotAKey { line: 1, found: 64 }),
        (format!("+{}", &good[1..]), KeyFileError::NotAKey { line: 1, found: 64 }),
        (
            format!("{0}\n{0}\n", good.as_str()),
            KeyFileError::Refused { line: 2, error: KeyError::Known { id: key(1).id() } },
        ),
        (
            (1..=5).map(|n| key(n).to_hex().to_string() + "\n").collect(),
            KeyFileError::Refused { line: 5, error: KeyError::Full },
        ),
        ("# nothing\n".to_owned(), KeyFileError::Empty),
    ];
    for (text, error) in cases {
        assert_eq!(Keyring::parse(&text), Err(error), "{text}");
    }
}

#[test]
fn a_key_file_may_have_comments_upper_case_and_carriage_returns() {
    let text = format!("# cluster\r\n  {}  # the one\r\n", key(0xcd).to_hex().to_uppercase());
    assert_eq!(Keyring::parse(&text), Ok(Keyring::new(key(0xcd))));
}

#[test]
fn using_a_key_keeps_the_order_of_the_others() {
    let mut ring = Keyring::new(key(1));
    ring.install(key(2)).unwrap();
    ring.install(key(3)).unwrap();
    ring.use_key(key(3).id()).unwrap();
    assert_eq!(ring.ids().collect::<Vec<_>>(), [3, 1, 2].map(|n| key(n).id()));
    assert_eq!(ring.use_key(key(9).id()), Err(KeyError::Unknown { id: key(9).id() }));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[0-9a-g# \n\u{e9}]{0,300}") {
        let _ = Keyring::parse(&text);
    }

    #[test]
    fn a_printed_ring_is_the_same_when_parsed(octets in proptest::collection::hash_set(any::<[u8; 32]>(), 1..=4)) {
        let mut keys = octets.into_iter().map(Key::new);
        let mut ring = Keyring::new(keys.next().unwrap());
        keys.for_each(|key| ring.install(key).unwrap());
        prop_assert_eq!(Keyring::parse(&ring.to_text()), Ok(ring));
    }
}
