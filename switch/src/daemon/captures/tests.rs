use std::io::{BufRead, BufReader, Read};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use encap::PortId;

use super::*;
use crate::capture::record::{Decision, Flow, Ids, Record};
use crate::control::protocol::CaptureAt;

/// A capture of so many writers, and the client's end, which waits for nothing.
fn begin(captures: &Captures, writers: usize) -> (Vec<Writer>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ask = Capture { at: CaptureAt::Any, inner: None, outer: None, snap: 1000, drops: false };
    let (reply, writers) = captures.begin(("node-a", ask, At::Any), ours, writers);
    assert_eq!(matches!(reply, Reply::Capturing(_)), !writers.is_empty());
    (writers, theirs)
}

fn point(n: u32) -> Point {
    Point::Port(PortId::new(n))
}

/// A record of two frames.
fn record(port: u32) -> Record<'static> {
    Record {
        at: 5,
        point: point(port),
        direction: Flow::In,
        ids: Ids { first: 1, count: 2 }.into(),
        size: 0,
        vni: None,
        inside: None,
        decision: Decision::None,
        dropped: None,
        outer: 0,
        len: 1000,
        octets: &[7; 1000],
    }
}

/// What a client is told until the end: points that are named, frames of records, frames that each point lost.
fn rest(client: UnixStream) -> (Vec<String>, u64, BTreeMap<Point, u64>) {
    let mut read = BufReader::new(client);
    read.read_line(&mut String::new()).unwrap();
    let (mut octets, mut at) = (Vec::new(), 0);
    read.read_to_end(&mut octets).unwrap();
    let (mut names, mut frames, mut lost) = (Vec::new(), 0, BTreeMap::new());
    while let Some((message, len)) = Message::decode(&octets[at..]).unwrap() {
        at += len;
        match message {
            Message::Name { name, .. } => names.push(name.to_owned()),
            Message::Record(record) => {
                assert!(record.at > 1_600_000_000_000_000_000, "the time of day");
                frames += record.ids.frames();
            }
            Message::Lost { point, frames } => drop(lost.insert(point, frames)),
        }
    }
    assert_eq!(at, octets.len());
    (names, frames, lost)
}

#[test]
fn a_client_that_leaves_under_load_gets_what_is_there_and_the_count_of_all_else() {
    let captures = Captures::default();
    let (writers, client) = begin(&captures, 2);
    let (go_on, written) = (AtomicBool::new(true), [AtomicU64::new(0), AtomicU64::new(0)]);
    let (names, frames, lost) = thread::scope(|scope| {
        for ((mut writer, port), written) in writers.into_iter().zip(1..).zip(&written) {
            let go_on = &go_on;
            scope.spawn(move || {
                writer.begin();
                let mut scratch = Vec::new();
                while go_on.load(Ordering::Relaxed) {
                    writer.write(&record(port), &mut scratch);
                    if !writer.is_over() {
                        written.fetch_add(2, Ordering::Relaxed);
                    }
                }
            });
        }
        // More than each ring and the connection hold.
        while written.iter().any(|written| written.load(Ordering::Relaxed) < 80_000) {
            thread::yield_now();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let told = rest(client);
        go_on.store(false, Ordering::Relaxed);
        told
    });
    let all = frames + lost.values().sum::<u64>();
    // One record of each is under way when it ends.
    let written: u64 = written.iter().map(|written| written.load(Ordering::Relaxed)).sum();
    assert!(written.abs_diff(all) <= 4, "{written} frames, of which {frames} were told and lost {lost:?}");
    assert_eq!(names, ["port:1", "port:2"]);
    assert!(lost.keys().eq(&[point(1), point(2)]), "{lost:?}");
}

#[test]
fn a_client_hears_only_of_a_capture_that_has_begun() {
    let captures = Captures::default();
    let (writers, client) = begin(&captures, 1);
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!((&client).read(&mut [0; 1]).is_err(), "the worker does not know of it yet");
    writers[0].begin();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!((&client).read(&mut [0; 1]).unwrap(), 1);
    drop(writers);
    assert_eq!(rest(client), (vec![], 0, BTreeMap::new()));
}

#[test]
fn there_are_no_more_captures_than_eight_and_one_that_ended_makes_room() {
    let captures = Captures::default();
    let mut running: Vec<_> = (0..MAX).map(|_| begin(&captures, 1)).collect();
    assert!(begin(&captures, 1).0.is_empty());
    drop(running.pop());
    let until = clock::now() + Duration::from_secs(5);
    while begin(&captures, 1).0.is_empty() {
        assert!(clock::now() < until, "an ended capture still counts");
        thread::sleep(IDLE);
    }
}

#[test]
fn a_daemon_that_ends_waits_until_clients_have_what_is_there() {
    let captures = Captures::default();
    let (mut writers, client) = begin(&captures, 1);
    writers[0].begin();
    (0..100).for_each(|_| writers[0].write(&record(1), &mut Vec::new()));
    drop(writers);
    captures.finish();
    assert_eq!(Arc::strong_count(&captures.running), 1);
    assert_eq!(rest(client), (vec!["port:1".to_owned()], 200, BTreeMap::new()));
}
