use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use encap::PortId;

use super::super::lines::Lines;
use super::super::target::Target;
use super::*;
use crate::capture::record::{Decision, Flow, Ids};

const PORT: Point = Point::Port(PortId::new(3));

/// A session that writes lines into a file.
fn session(file: &Path, count: u64) -> Session {
    let lines = Lines::new(false, Target::open(file, Arc::default()).unwrap());
    let owners = Owners::new(Path::new("/nosuch"), clock::now());
    Session::new(Output::Lines(lines), owners, NonZeroU64::new(count))
}

/// Ten records of three frames each, and what two points lost.
fn stream() -> Vec<u8> {
    let (mut stream, octets) = (Vec::new(), [7; 60]);
    let record = Record {
        at: 0,
        point: PORT,
        direction: Flow::In,
        ids: Ids { first: 1, count: 3 }.into(),
        size: 0,
        vni: None,
        inside: None,
        decision: Decision::None,
        dropped: None,
        outer: 0,
        len: 60,
        octets: &octets,
    };
    (0..10).for_each(|_| Message::Record(record).encode(&mut stream));
    for (point, frames) in [(PORT, 4), (Point::Gossip, 5), (PORT, 6)] {
        Message::Lost { point, frames }.encode(&mut stream);
    }
    stream
}

/// A daemon that has all of it for the client at once, or only when the client wants no more.
fn daemon(at_once: bool) -> (Stream, thread::JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        if !at_once {
            assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0, "the client closes its side");
        }
        theirs.write_all(&stream()).unwrap();
        if at_once {
            let _ = theirs.read(&mut [0; 8]);
        }
    });
    (Stream::new(ours, Vec::new()), thread)
}

fn ends(file: &Path, count: u64, at_once: bool) -> (End, Counts) {
    let (mut session, stop) = (session(file, count), Stop::catch().unwrap());
    if !at_once {
        stop.flag().store(true, std::sync::atomic::Ordering::Relaxed);
    }
    let (stream, thread) = daemon(at_once);
    let end = session.run(stream, &stop);
    thread.join().unwrap();
    let end = session.finish().map_or_else(End::of, |()| end);
    let counts = session.counts(&end);
    (end, counts)
}

#[test]
fn what_the_daemon_has_when_it_is_told_to_end_is_still_written() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (end, counts) = ends(file.path(), 0, false);
    assert!(matches!(end, End::Told), "{end:?}");
    assert_eq!(counts, Counts { captured: 30, lost: 11, unwritten: 0, beyond: 0 });
    assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 10);
}

#[test]
fn what_comes_after_as_many_as_were_asked_for_is_counted_apart() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (end, counts) = ends(file.path(), 4, true);
    assert!(matches!(end, End::Enough), "{end:?}");
    assert_eq!(counts, Counts { captured: 12, lost: 11, unwritten: 0, beyond: 18 });
    assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 4);
}

#[test]
fn what_a_full_disk_does_not_take_is_counted_too() {
    let (end, counts) = ends(Path::new("/dev/full"), 0, true);
    assert!(matches!(&end, End::Output(error) if error.kind() == io::ErrorKind::StorageFull), "{end:?}");
    assert_eq!(counts, Counts { captured: 0, lost: 11, unwritten: 30, beyond: 0 });
}
