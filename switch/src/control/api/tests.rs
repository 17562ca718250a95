use std::io::{BufRead, BufReader as StdBufReader, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::thread;

use super::*;
use crate::control::protocol::ErrorCode;

/// A server on its own thread whose control answers every request with `done`.
struct Server {
    dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/weft.sock");
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let api = Api::bind(&path).unwrap();
                ready.send(()).unwrap();
                let (calls, mut queue) = mpsc::channel::<Call>(QUEUE);
                let control = async {
                    while let Some(call) = queue.recv().await {
                        let _ = call.reply.send(Reply::done(format!("{:?}", call.request), 1));
                    }
                };
                tokio::select! {
                    () = api.serve(calls) => {}
                    () = control => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().unwrap();
        Self { dir, stop: Some(stop), thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("run/weft.sock")
    }

    fn connect(&self) -> StdStream {
        let stream = StdStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn reply(stream: &StdStream) -> Reply {
    let mut line = String::new();
    StdBufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn error_code(reply: &Reply) -> Option<ErrorCode> {
    if let Reply::Error(error) = reply { Some(error.code) } else { None }
}

#[test]
fn one_connection_carries_several_requests() {
    let server = Server::start();
    let mut stream = server.connect();
    for name in ["Drops", "Status"] {
        writeln!(stream, r#"{{"request":"{}"}}"#, name.to_lowercase()).unwrap();
        assert_eq!(reply(&stream), Reply::done(name, 1));
    }
}

#[test]
fn garbage_is_answered_and_the_connection_goes_on() {
    let server = Server::start();
    let mut stream = server.connect();
    for garbage in [&b"what\n"[..], b"\xff\xfe\n", b"{}\n", b"\n"] {
        stream.write_all(garbage).unwrap();
        assert_eq!(error_code(&reply(&stream)), Some(ErrorCode::Usage));
    }
    stream.write_all(b"{\"request\":\"drops\"}\n").unwrap();
    assert_eq!(reply(&stream), Reply::done("Drops", 1));
}

#[test]
fn a_request_over_the_limit_is_refused_and_the_connection_closed() {
    let server = Server::start();
    let mut stream = server.connect();
    let mut writer = stream.try_clone().unwrap();
    let flood = thread::spawn(move || {
        // The daemon closes before it has read everything, so the write may fail.
        let _ = writer.write_all(&vec![b'x'; MAX_REQUEST + 1000]);
    });
    assert_eq!(error_code(&reply(&stream)), Some(ErrorCode::Usage));
    flood.join().unwrap();
    assert!(!matches!(stream.read(&mut [0; 16]), Ok(n) if n > 0), "closed");
}

#[test]
fn a_request_without_a_newline_is_answered_when_the_client_is_done() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(br#"{"request":"drops"}"#).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reply(&stream), Reply::done("Drops", 1));
}

#[test]
fn a_slow_client_is_cut_off_and_others_are_served_meanwhile() {
    let server = Server::start();
    let mut slow = server.connect();
    slow.write_all(b"{\"request\"").unwrap();
    let mut other = server.connect();
    other.write_all(b"{\"request\":\"drops\"}\n").unwrap();
    assert_eq!(reply(&other), Reply::done("Drops", 1));
    assert_eq!(slow.read(&mut [0; 16]).unwrap(), 0, "closed after the time limit");
}

#[test]
fn one_client_too_many_is_told_so() {
    let server = Server::start();
    let clients: Vec<_> = (0..MAX_CLIENTS)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"{\"request\":\"drops\"}\n").unwrap();
            reply(&stream);
            stream
        })
        .collect();
    assert_eq!(error_code(&reply(&server.connect())), Some(ErrorCode::Failed));
    drop(clients);
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async { Api::bind(&server.path()).unwrap_err() });
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    let mut stream = server.connect();
    stream.write_all(b"{\"request\":\"drops\"}\n").unwrap();
    assert_eq!(reply(&stream), Reply::done("Drops", 1));
}

#[test]
fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stale = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    runtime.block_on(async {
        let api = Api::bind(&stale).unwrap();
        assert_eq!(fs::metadata(&stale).unwrap().mode() & 0o777, 0o660);
        drop(api);
        assert!(matches!(Api::bind(&file), Err(BindError::NotASocket(_))));
    });
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn the_directory_is_made_private_and_the_socket_goes_with_the_daemon() {
    let mut server = Server::start();
    let run = server.dir.path().join("run");
    assert_eq!(fs::metadata(run).unwrap().mode() & 0o777, 0o750);
    server.stop();
    assert!(!server.path().exists());
}

#[test]
fn only_root_and_the_daemons_user_may_change() {
    assert!(may_change(0, 1000));
    assert!(may_change(1000, 1000));
    assert!(!may_change(1001, 1000));
}
