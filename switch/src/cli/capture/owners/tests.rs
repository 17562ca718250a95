use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::capture::record::{Decision, Ids, Point};
use crate::clock;
use crate::control::protocol::{Fdb, FdbState};

/// A daemon that answers every question with the entry that was asked for, or never; counts them.
fn daemon(path: &Path, answers: bool) -> Arc<AtomicUsize> {
    let (listener, asked) = (UnixListener::bind(path).unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            for line in &mut lines {
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(Request::FdbShow { mac: Some(mac), .. }) = serde_json::from_str(&line) else { break };
                if answers {
                    let mut line =
                        serde_json::to_vec(&Reply::Fdb(Fdb { entries: vec![entry(mac)], more: 0 })).unwrap();
                    line.push(b'\n');
                    (&stream).write_all(&line).unwrap();
                }
            }
        }
    });
    asked
}

fn entry(mac: MacAddr) -> FdbEntry {
    FdbEntry {
        mac,
        vni: Vni::new(100).unwrap(),
        network: "pods".to_owned(),
        state: FdbState::Remote,
        port: None,
        dst: Some([10, 0, 0, 2].into()),
        owner: "node-b".to_owned(),
        node: None,
        seq: 7,
        mob_seq: 0,
        age_s: 0,
        frozen_s: None,
    }
}

/// A frame to the address with this number.
fn frame(n: u8) -> [u8; 14] {
    [2, 0, 0, 0, 0, n, 2, 0, 0, 0, 1, 0, 8, 0]
}

fn record(octets: &[u8]) -> Record<'_> {
    Record {
        at: 0,
        point: Point::Gossip,
        direction: Flow::In,
        ids: Ids { first: 1, count: 1 }.into(),
        size: 0,
        vni: Some(Vni::new(100).unwrap()),
        inside: None,
        decision: Decision::None,
        dropped: None,
        outer: 0,
        len: octets.len() as u32,
        octets,
    }
}

#[test]
fn an_answer_holds_for_some_seconds_and_questions_are_few() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let asked = daemon(&path, true);
    let now = clock::now();
    let mut owners = Owners::new(&path, now);
    for _ in 0..3 {
        let entry = owners.of(&record(&frame(1)), now).expect("an entry");
        assert_eq!((entry.owner.as_str(), entry.seq), ("node-b", 7));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    owners.of(&record(&frame(1)), now + FRESH).expect("an entry");
    assert_eq!(asked.load(Ordering::Relaxed), 2, "it is asked again");
    for n in 1..=60 {
        owners.of(&record(&frame(n)), now + FRESH);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1 + MOST_ASKED as usize, "no more in a second");
}

#[test]
fn only_frames_that_come_in_for_one_place_are_asked_about() {
    let now = clock::now();
    let mut owners = Owners::new(Path::new("/nowhere"), now);
    let (one, group) = (frame(1), [0xff; 14]);
    let out = Record { direction: Flow::Out, ..record(&one) };
    let unknown = Record { vni: None, ..record(&one) };
    for record in [record(&group), out, unknown, record(&one[..5]), Record { outer: 60, ..record(&one) }] {
        assert!(owners.of(&record, now).is_none());
    }
    assert_eq!(owners.asked.1, 0);
}

#[test]
fn a_daemon_that_does_not_answer_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let asked = daemon(&path, false);
    let now = clock::now();
    let mut owners = Owners::new(&path, now);
    for n in 1..=9 {
        assert!(owners.of(&record(&frame(n)), now).is_none());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
