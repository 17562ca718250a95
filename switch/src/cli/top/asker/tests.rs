use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use super::*;
use crate::cli::top::model::tests::answers;
use crate::clock;
use crate::control::protocol::ErrorReply;

/// What a daemon answers to all questions.
fn replies() -> Vec<Reply> {
    let Answers { status, metrics, drops, peers, ports, networks, .. } = answers(1);
    vec![
        Reply::Status(status),
        Reply::Metrics(metrics),
        Reply::Drops(drops),
        Reply::Peers(peers),
        Reply::Ports(ports),
        Reply::Networks(networks),
    ]
}

/// A daemon for one connection, which is handed to `serve` once so many questions came; an asker, and the folder of the
/// socket.
fn daemon(
    questions: usize,
    timeout: Duration,
    serve: impl FnOnce(&mut UnixStream) + Send + 'static,
) -> (Asker, JoinHandle<()>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        for _ in 0..questions {
            stream.read_line(&mut line).unwrap();
        }
        assert_eq!(line.lines().count(), questions, "{line}");
        serve(stream.get_mut());
    });
    (Asker::new(socket, timeout), daemon, folder)
}

/// Looks until there is something.
fn outcome(asker: &mut Asker) -> Result<Answers, AskError> {
    for _ in 0..500 {
        if let Some(answers) = asker.look(clock::now())? {
            return Ok(answers);
        }
        assert!(asker.is_asking());
    }
    panic!("nothing came");
}

fn line(reply: &Reply) -> String {
    format!("{}\n", serde_json::to_string(reply).unwrap())
}

#[test]
fn answers_that_come_in_pieces_are_put_together_without_waiting() {
    let said: String = replies().iter().map(line).collect();
    let (mut asker, daemon, _folder) = daemon(6, Duration::from_secs(10), move |stream| {
        let (head, tail) = said.split_at(said.len() / 2);
        stream.write_all(head.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(120));
        stream.write_all(tail.as_bytes()).unwrap();
    });
    asker.ask(None, clock::now()).unwrap();
    let start = clock::now();
    let mut looks = 0;
    let answers = loop {
        looks += 1;
        if let Some(answers) = asker.look(clock::now()).unwrap() {
            break answers;
        }
    };
    assert!(looks > 2 && clock::now() - start >= LOOK, "each look is short: {looks}");
    assert_eq!((answers.status.node.as_str(), answers.more), ("node-a", None));
    assert!(!asker.is_asking());
    daemon.join().unwrap();
}

#[test]
fn what_is_asked_besides_may_be_refused() {
    let (mut asker, daemon, _folder) = daemon(7, Duration::from_secs(10), |stream| {
        let refusal = Reply::from(ErrorReply::usage("no peer node-z"));
        let said: String = replies().iter().chain([&refusal]).map(line).collect();
        stream.write_all(said.as_bytes()).unwrap();
    });
    let path = Request::PathShow { peer: Some("node-z".to_owned()) };
    asker.ask(Some(&path), clock::now()).unwrap();
    let more = outcome(&mut asker).unwrap().more;
    assert!(matches!(more, Some(Reply::Error(error)) if error.message == "no peer node-z"));
    daemon.join().unwrap();
}

#[test]
fn a_refusal_a_wrong_answer_and_an_end_are_errors() {
    let refuse = |stream: &mut UnixStream| {
        let refusal = Reply::from(ErrorReply::failed("too many clients"));
        stream.write_all(line(&refusal).as_bytes()).unwrap();
    };
    let (mut asker, _daemon, _folder) = daemon(6, Duration::from_secs(10), refuse);
    asker.ask(None, clock::now()).unwrap();
    assert_eq!(outcome(&mut asker).unwrap_err().to_string(), "too many clients");

    let (mut asker, _daemon, _folder) = daemon(6, Duration::from_secs(10), |stream| {
        let said: String = replies().iter().rev().map(line).collect();
        stream.write_all(said.as_bytes()).unwrap();
    });
    asker.ask(None, clock::now()).unwrap();
    assert!(matches!(outcome(&mut asker), Err(AskError::Misfit)));

    let (mut asker, _daemon, _folder) = daemon(6, Duration::from_secs(10), |_| {});
    asker.ask(None, clock::now()).unwrap();
    assert!(matches!(outcome(&mut asker), Err(AskError::Client(ClientError::Io { .. }))));
    assert!(!asker.is_asking(), "the round is over");
}

#[test]
fn a_daemon_that_hangs_is_given_up_in_time() {
    let (mut asker, daemon, _folder) = daemon(6, Duration::from_millis(80), |_| {
        thread::sleep(Duration::from_millis(300));
    });
    let start = clock::now();
    asker.ask(None, start).unwrap();
    assert!(matches!(outcome(&mut asker), Err(AskError::Client(ClientError::Timeout(_)))));
    assert!(clock::now() - start < Duration::from_millis(300));
    daemon.join().unwrap();
    assert!(matches!(asker.ask(None, clock::now()), Err(AskError::Client(ClientError::Refused(_)))));
}
