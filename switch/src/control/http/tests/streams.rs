//! Streams of events: what they tell, how many there may be, and how they end.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use super::*;
use crate::control::protocol::Map;

/// A map with one node, of which so many addresses are known.
fn map(macs: u64) -> Reply {
    let node = json!({"id": "a", "name": "n1", "kind": "here", "state": "up", "networks": [], "macs": macs});
    let map = json!({"schema": "weft.map/1", "here": "a", "at_ms": macs, "nodes": [node], "links": []});
    serde_json::from_value(map).unwrap()
}

/// Enough to fill what the kernel keeps for a reader.
fn large_map(macs: u64) -> Reply {
    let Reply::Map(Map { nodes, .. }) = map(macs) else { panic!() };
    let nodes = (0..2_000).map(|number| {
        let mut node = nodes[0].clone();
        node.id = format!("{number}-{}", "x".repeat(200));
        node
    });
    Reply::Map(Map { here: "a".into(), at_ms: macs, nodes: nodes.collect(), links: vec![] })
}

struct Events(BufReader<StdStream>);

impl Events {
    /// Opens a stream, and reads the head of its answer.
    fn open(server: &Server) -> Self {
        let mut stream = server.connect();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut events = Self(BufReader::new(stream));
        assert_eq!(events.line(), "HTTP/1.1 200 OK");
        let mut head = Vec::new();
        while head.last().is_none_or(|line: &String| !line.is_empty()) {
            head.push(events.line());
        }
        assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line of an event that begins so, without that; the sizes of HTTP's chunks stand between.
    fn field(&mut self, name: &str) -> String {
        loop {
            let line = self.line();
            if let Some(rest) = line.strip_prefix(name) {
                return rest.trim_start().to_owned();
            }
        }
    }

    /// Id, name and data of the next event.
    fn next(&mut self) -> (u64, String, Value) {
        let id = self.field("id:").parse().unwrap();
        let (name, data) = (self.field("event:"), self.field("data:"));
        (id, name, serde_json::from_str(&data).unwrap())
    }
}

#[test]
fn a_stream_tells_all_once_and_then_what_changed_and_control_is_asked_once_for_all_streams() {
    let server = Server::start(config(), vec![map(1), map(1), map(1), map(2)]);
    let mut streams = [Events::open(&server), Events::open(&server), Events::open(&server)];
    for stream in &mut streams {
        let (_, name, data) = stream.next();
        assert_eq!((name.as_str(), data["schema"].as_str()), ("snapshot", Some("weft.map/1")));
        assert_eq!((&data["nodes"][0]["name"], data["links"].as_array().unwrap().len()), (&json!("n1"), 0));
    }
    for stream in &mut streams {
        let (id, name, data) = stream.next();
        assert_eq!((id, name.as_str(), &data["at_ms"]), (4, "changes", &json!(2)));
        assert_eq!((&data["nodes"][0]["macs"], &data["gone_nodes"]), (&json!(2), &json!([])));
    }
}

#[test]
fn the_map_is_told_once_to_who_wants_it_once() {
    let server =
        Server::start(config(), vec![map(1), ErrorReply::failed("weft waits for an address").into()]);
    for _ in 0..2 {
        let answer = server.get("/api/v1/map", "");
        assert_status(&answer, 200);
        assert!(answer.contains("\"schema\":\"weft.map/1\"") && answer.contains("\"macs\":1"), "{answer}");
    }
    thread::sleep(Duration::from_secs(1));
    let answer = server.get("/api/v1/map", "");
    assert_status(&answer, 503);
    assert!(answer.ends_with("weft waits for an address\n"), "{answer}");
}

#[test]
fn a_stream_goes_on_while_control_has_no_answer_and_says_so_once() {
    let refused = || ErrorReply::failed("weft waits for an underlay address").into();
    let server = Server::start(config(), vec![refused(), refused(), map(1), refused(), map(1)]);
    let mut stream = Events::open(&server);
    let (_, name, data) = stream.next();
    assert_eq!((name.as_str(), &data["message"]), ("trouble", &json!("weft waits for an underlay address")));
    assert_eq!(stream.next().1, "snapshot");
    assert_eq!(stream.next().1, "trouble");
    let (id, name, data) = stream.next();
    assert_eq!((id, name.as_str(), &data["nodes"]), (5, "changes", &json!([])), "the trouble is over");
}

#[test]
fn of_the_connections_some_are_left_for_others_and_a_stream_that_ends_makes_room() {
    let server = Server::start(config(), vec![map(1), ready(&[])]);
    let mut streams: Vec<_> = (0..events::MAX_STREAMS).map(|_| Events::open(&server)).collect();
    let answer = server.get("/api/v1/events", "");
    assert_status(&answer, 503);
    assert!(answer.contains("8 streams of events are open"), "{answer}");
    streams.pop();
    // The server hears of it a moment later.
    thread::sleep(Duration::from_millis(200));
    streams.push(Events::open(&server));
    assert_eq!(streams.len(), events::MAX_STREAMS);
}

#[test]
fn a_stream_without_news_lasts_and_says_that_it_lives() {
    let server = Server::start(config(), (0..30).map(|_| map(1)).collect());
    let mut stream = Events::open(&server);
    assert_eq!(stream.next().1, "snapshot");
    let start = clock::now();
    assert_eq!(stream.field(":"), "");
    let waited = clock::now() - start;
    assert!((Duration::from_secs(14)..Duration::from_secs(17)).contains(&waited), "{waited:?}");
}

#[test]
fn a_reader_that_does_not_take_what_is_sent_is_ended() {
    let server = Server::start(config(), (0..60).map(large_map).collect());
    let stalled = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    stalled.set_recv_buffer_size(4 << 10).unwrap();
    stalled.connect(&server.address.into()).unwrap();
    let mut stalled = StdStream::from(stalled);
    stalled.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut others: Vec<_> = (1..events::MAX_STREAMS).map(|_| Events::open(&server)).collect();
    let start = clock::now();
    let room = loop {
        // The others take what they get, so it is the one that does not whose place becomes free.
        others.iter_mut().for_each(|stream| assert!(!stream.next().1.is_empty()));
        let answer = server.send("HEAD /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if answer.starts_with("HTTP/1.1 200") {
            break clock::now() - start;
        }
        assert_status(&answer, 503);
        assert!(clock::now() - start < STALLED * 3, "it still holds its place");
    };
    assert!(room > STALLED / 2, "{room:?}");
}
