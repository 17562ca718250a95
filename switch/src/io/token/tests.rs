use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

const GOOD: &str = "0123456789abcdef0123456789abcdef";

fn load(text: &str, mode: u32) -> Result<Token, TokenError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    Token::load(&file)
}

#[test]
fn only_the_whole_token_is_the_token() {
    let token = load(&format!("  {GOOD}\n"), 0o600).unwrap();
    assert!(token.is(GOOD.as_bytes()));
    let longer = format!("{GOOD}0");
    for wrong in ["", "0", &GOOD[1..], &GOOD[..31], &longer, &GOOD.to_uppercase()] {
        assert!(!token.is(wrong.as_bytes()), "{wrong}");
    }
    assert_eq!(format!("{token:?}"), "Token(..)");
}

#[test]
fn a_token_that_others_may_use_is_refused() {
    for mode in [0o640, 0o604, 0o660, 0o700, 0o644] {
        let error = load(GOOD, mode).unwrap_err();
        assert!(matches!(error, TokenError::Mode { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    load(GOOD, 0o400).unwrap();
}

#[test]
fn what_can_be_guessed_or_does_not_fit_into_a_request_is_refused() {
    for (text, octets) in [("", 0), (&GOOD[1..], 31), (&"a".repeat(2000), MAX_OCTETS + 1)] {
        let error = load(text, 0o600).unwrap_err();
        assert!(matches!(error, TokenError::Length { octets: found, .. } if found == octets), "{error}");
    }
    for text in [format!("{GOOD} {GOOD}"), format!("{GOOD}\n{GOOD}"), format!("{GOOD}ä")] {
        let error = load(&text, 0o600).unwrap_err();
        assert!(matches!(error, TokenError::Characters { .. }), "{error}");
        assert!(!error.to_string().contains(GOOD), "{error}");
    }
}

#[test]
fn what_is_no_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Token::load(directory.path()), Err(TokenError::NotAFile { .. })));
    let missing = Token::load(&directory.path().join("none")).unwrap_err().to_string();
    assert!(missing.contains("No such file"), "{missing}");
}
