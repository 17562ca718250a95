use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tokio::sync::oneshot;

use super::*;
use crate::control::config::Http as Address;
use crate::control::protocol::{ErrorReply, Ready};

mod map;
mod streams;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A server on its own thread, whose control gives these answers to `/readyz` one after the other, and then none.
struct Server {
    address: SocketAddr,
    /// What control was asked.
    asked: std::sync::mpsc::Receiver<Request>,
    _stop: oneshot::Sender<()>,
}

fn config() -> ApiConfig {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    ApiConfig { http: Address::At(free), token_file: None }
}

impl Server {
    fn start(config: ApiConfig, answers: Vec<Reply>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (ask, asked) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let http = Http::bind(&config).unwrap().unwrap();
                ready.send(http.listener.local_addr().unwrap()).unwrap();
                let (calls, mut queue) = mpsc::channel::<Call>(4);
                let control = async {
                    let mut held = Vec::new();
                    let mut answers = answers.into_iter();
                    while let Some(call) = queue.recv().await {
                        // The test may have ended.
                        let _ = ask.send(call.request.clone());
                        match answers.next() {
                            Some(answer) => drop(call.reply.send(answer)),
                            None => held.push(call),
                        }
                    }
                };
                tokio::select! {
                    () = http.serve(calls) => {}
                    () = control => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: is_ready.recv().unwrap(), asked, _stop: stop }
    }

    fn connect(&self) -> StdStream {
        let stream = StdStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// What comes back, until the server closes.
    fn send(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut stream)
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
    }
}

fn answer(stream: &mut StdStream) -> String {
    let mut octets = Vec::new();
    // A server that closes with octets unread resets the connection, after its answer.
    let _ = stream.read_to_end(&mut octets);
    String::from_utf8(octets).unwrap()
}

fn token_file(directory: &tempfile::TempDir) -> std::path::PathBuf {
    let file = directory.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn ready(waits_for: &[&str]) -> Reply {
    Reply::Ready(Ready { waits_for: waits_for.iter().map(|what| (*what).to_owned()).collect() })
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

#[test]
fn ready_is_told_with_what_is_waited_for() {
    let server = Server::start(config(), vec![ready(&[]), ready(&["port web: broken", "gossip: alone"])]);
    let answer = server.get("/readyz", "");
    assert_status(&answer, 200);
    assert!(answer.contains("cache-control: no-store") && answer.contains("x-content-type-options: nosniff"));
    let answer = server.get("/readyz", "");
    assert_status(&answer, 503);
    assert!(answer.ends_with("\r\n\r\nport web: broken\ngossip: alone\n"), "{answer}");
}

#[test]
fn healthy_is_who_answers_whatever_the_answer_and_who_is_silent_is_not() {
    let refused = ErrorReply::failed("weft waits for an underlay address").into();
    let server = Server::start(config(), vec![ready(&["gossip: alone"]), refused]);
    assert_status(&server.get("/healthz", ""), 200);
    assert_status(&server.get("/healthz", ""), 200);
    let start = clock::now();
    assert_status(&server.get("/healthz", ""), 503);
    assert!((PATIENCE..PATIENCE * 3).contains(&(clock::now() - start)));
}

#[test]
fn without_a_control_a_scrape_says_what_it_waits_for() {
    let refused = ErrorReply::failed("weft waits for an underlay address").into();
    let answer = Server::start(config(), vec![refused]).get("/metrics", "");
    assert_status(&answer, 503);
    assert!(answer.ends_with("weft waits for an underlay address\n"), "{answer}");
}

#[test]
fn there_is_nothing_else_and_nothing_can_be_changed() {
    let server = Server::start(config(), vec![ready(&[])]);
    for path in ["/map", "/metrics/", "/../etc/passwd", "/metrics%2f..", "/favicon.ico", "//metrics"] {
        let answer = server.get(path, "");
        assert_status(&answer, 404);
        assert!(answer.ends_with("there are / (the map), /metrics, /healthz and /readyz\n"), "{answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        assert_status(&server.send(&request), 405);
    }
    let answer = server.send("HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_status(&answer, 200);
    assert!(answer.contains("content-length: 6\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_host_that_has_a_name_of_dns_is_refused() {
    let server = Server::start(config(), (0..20).map(|_| ready(&[])).collect());
    let good =
        ["127.0.0.1", "127.0.0.1:6787", "[::1]", "[::1]:6787", "localhost", "LocalHost:80", "10.0.0.1"];
    for host in good {
        assert_status(&server.send(&format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n")), 200);
    }
    assert!(server.send("GET /readyz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "), "nobody is named");
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:6787", "", "[evil]", "1"] {
        let answer = server.send(&format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_status(&answer, 403);
        assert!(answer.contains("names this host by DNS"), "{answer}");
    }
    let both = "GET http://evil.example/readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_status(&server.send(both), 403);
    let two = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n";
    assert!(!server.send(two).starts_with("HTTP/1.1 200"));
}

#[test]
fn with_a_token_only_who_has_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let config = ApiConfig { token_file: Some(token_file(&directory)), ..config() };
    let server = Server::start(config, vec![ready(&[]), ready(&[])]);
    for right in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}")] {
        assert_status(&server.get("/readyz", &format!("Authorization: {right}\r\n")), 200);
    }
    for wrong in [TOKEN.to_owned(), format!("Bearer {TOKEN}0"), "Bearer ".into(), format!("Basic {TOKEN}")] {
        for path in ["/metrics", "/healthz", "/readyz", "/none"] {
            let answer = server.get(path, &format!("Authorization: {wrong}\r\n"));
            assert_status(&answer, 401);
            assert!(answer.contains("www-authenticate: Bearer") && !answer.contains(TOKEN), "{answer}");
        }
    }
    assert_status(&server.get("/readyz", ""), 401);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(config(), vec![]);
    let answer = server.get("/readyz", &format!("X: {}\r\n", "a".repeat(2 * MAX_HEAD)));
    assert_status(&answer, 431);
}

#[test]
fn who_sends_no_request_is_let_go_and_makes_room() {
    let server = Server::start(config(), vec![ready(&[])]);
    let start = clock::now();
    let mut idle: Vec<_> = (0..MAX_CONNECTIONS).map(|_| server.connect()).collect();
    idle[0].write_all(b"GET /readyz HT").unwrap();
    assert_status(&server.get("/readyz", ""), 200);
    let waited = clock::now() - start;
    assert!(waited >= Duration::from_secs(4), "more than {MAX_CONNECTIONS} at a time: {waited:?}");
    assert!(waited < TIMEOUT * 3, "{waited:?}");
    for stream in &mut idle {
        assert!(!answer(stream).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn one_address_has_a_share_of_the_connections_and_gets_it_back_and_the_loopback_has_all() {
    let sources = Sources::default();
    let [one, other, mapped]: [IpAddr; 3] =
        ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1"].map(|ip| ip.parse().unwrap());
    let mut held: Vec<_> = (0..sources::MAX_EACH).map(|_| sources.count(one).unwrap()).collect();
    assert!(sources.count(one).is_none() && sources.count(mapped).is_none());
    held.push(sources.count(other).unwrap());
    held.remove(0);
    held.push(sources.count(mapped).unwrap());
    assert!(sources.count(one).is_none());
    let loopback: Vec<_> =
        (0..MAX_CONNECTIONS).map(|_| sources.count([127, 0, 0, 1].into()).unwrap()).collect();
    drop((held, loopback));
    let again: Vec<_> = (0..sources::MAX_EACH).map(|_| sources.count(one).unwrap()).collect();
    assert!(again.len() == 8 && sources.count(one).is_none());
}

#[test]
fn an_address_in_use_is_named_with_what_to_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = Address::At(taken.local_addr().unwrap());
    let error = Http::bind(&ApiConfig { http, token_file: None }).unwrap_err();
    assert!(matches!(error, HttpError::InUse(_)), "{error}");
    assert!(error.to_string().contains("http of [api]"), "{error}");
    assert!(Http::bind(&ApiConfig { http: Address::Off, token_file: None }).unwrap().is_none());
    let missing = ApiConfig { token_file: Some("/nonexistent/token".into()), ..config() };
    assert!(matches!(Http::bind(&missing), Err(HttpError::Token(_))));
}
