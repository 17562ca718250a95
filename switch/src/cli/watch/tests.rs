use std::path::PathBuf;

use super::*;
use crate::control::protocol::{ErrorReply, Networks};

/// A reader that goes away after so many answers.
struct Reader {
    text: String,
    left: usize,
}

impl Write for Reader {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.left -= 1;
        self.text.push_str(std::str::from_utf8(octets).unwrap());
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn answer() -> Result<Reply, ClientError> {
    Ok(Reply::Networks(Networks { entries: vec![] }))
}

fn missing() -> Result<Reply, ClientError> {
    Err(ClientError::Missing(PathBuf::from("/tmp/s")))
}

/// What is printed, and what is said on standard error, until the reader has seen so many answers.
fn watched(
    look: Look,
    answers: usize,
    mut ask: impl FnMut() -> Result<Reply, ClientError>,
) -> (String, Vec<String>) {
    let mut reader = Reader { text: String::new(), left: answers };
    let mut said = Vec::new();
    let outcome =
        repeat(look, &mut ask, |_| Some("text\n".to_owned()), &mut reader, |message| said.push(message));
    assert_eq!(outcome, Outcome::Ok, "a reader that has seen enough is no error");
    (reader.text, said)
}

#[test]
fn answers_are_told_apart_by_what_the_reader_is() {
    assert_eq!(watched(Look::Paragraphs, 2, answer).0, "\ntext\n\ntext\n");
    assert_eq!(watched(Look::Screen, 1, answer).0, "\x1b[H\x1b[2Jtext\n");
    let (lines, _) = watched(Look::Lines, 2, answer);
    assert_eq!(lines.lines().count(), 2);
    let all_json = lines.lines().all(|line| line == r#"{"schema":"weft.network/1","entries":[]}"#);
    assert!(all_json, "{lines}");
}

#[test]
fn a_restart_of_the_daemon_is_survived_and_said_once() {
    let mut script = [answer(), missing(), missing(), answer(), missing(), answer()].into_iter();
    let (text, said) = watched(Look::Paragraphs, 3, || script.next().unwrap_or_else(answer));
    assert_eq!(text, "\ntext\n".repeat(3));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("/tmp/s") && said[0].contains("trying on"), "{said:?}");
}

#[test]
fn a_refusal_is_said_once_and_is_no_answer() {
    let refuse = || Ok(Reply::from(ErrorReply::usage("no network db")));
    let mut script = [refuse(), refuse(), answer()].into_iter();
    let (text, said) = watched(Look::Lines, 1, || script.next().unwrap_or_else(answer));
    assert_eq!((text.lines().count(), said.len()), (1, 1), "{said:?}");
}
