use std::fs;
use std::os::unix::fs::PermissionsExt;

use encap::PortId;

use super::*;
use crate::capture::record::{Decision, Ids};

const PORT: Point = Point::Port(PortId::new(3));

fn plan(path: PathBuf) -> Plan {
    Plan { path, snap: SnapLen::MAX, size: None, count: None, time: None }
}

fn files(plan: Plan, now: Instant) -> io::Result<Files> {
    let of = Capturing { node: "node-a".to_owned(), version: "1".to_owned(), buffer: 0 };
    Files::open(plan, &of, Arc::default(), now)
}

fn names() -> Names {
    let mut names = Names::default();
    names.set(PORT, "port:web", "a port");
    names
}

/// A record of some frames.
fn record(octets: &[u8], frames: u32) -> Record<'_> {
    Record {
        at: 1_000_000_000,
        point: PORT,
        direction: Flow::In,
        ids: Ids { first: 7, count: frames }.into(),
        size: 0,
        vni: None,
        inside: None,
        decision: Decision::None,
        dropped: None,
        outer: 0,
        len: octets.len() as u32,
        octets,
    }
}

/// The kinds of the blocks of a file, which is whole.
#[track_caller]
fn kinds(path: &Path) -> Vec<u32> {
    let octets = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut kinds, mut at) = (Vec::new(), 0);
    while at < octets.len() {
        let word = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
        kinds.push(word(at));
        at += word(at + 4) as usize;
    }
    assert_eq!(at, octets.len(), "it ends behind a block");
    kinds
}

const SECTION: u32 = 0x0a0d_0d0a;

#[test]
fn a_file_is_for_its_owner_and_ends_with_what_was_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.pcapng");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let now = clock::now();
    let mut files = files(plan(path.clone()), now).unwrap();
    files.record(&record(&[1; 60], 3), &names(), None, now).unwrap();
    assert_eq!(files.frames(), 0, "nothing is written yet");
    files.lost(PORT, 5);
    files.finish(&names()).unwrap();
    assert_eq!((kinds(&path), files.frames()), (vec![SECTION, 1, 6, 5], 3));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let octets = fs::read(&path).unwrap();
    let statistics = &octets[octets.len() - 32..];
    assert_eq!((statistics[4], statistics[16]), (8, 5), "3 and 5 frames were seen, 5 were lost");
}

#[test]
fn what_was_lost_stands_at_the_point_that_lost_it_in_the_file_of_that_time() {
    let directory = tempfile::tempdir().unwrap();
    let now = clock::now();
    let timed = Plan { time: Some(Duration::from_secs(1)), ..plan(directory.path().join("out")) };
    let mut files = files(timed, now).unwrap();
    files.record(&record(&[1; 60], 3), &names(), None, now).unwrap();
    files.lost(Point::Gossip, 4);
    files.next((1, 0), &names(), now).unwrap();
    files.lost(PORT, 2);
    files.finish(&names()).unwrap();
    let statistics = |path: &Path, back: usize| {
        let octets = fs::read(path).unwrap();
        // Interface, frames seen, frames lost.
        let block = &octets[octets.len() - back * 52..][..52];
        assert_eq!((block[0], block[4]), (5, 52), "{block:?}");
        (block[8], block[24], block[36])
    };
    let first = directory.path().join("out");
    assert_eq!(kinds(&first), [SECTION, 1, 6, 1, 5, 5]);
    assert_eq!((statistics(&first, 2), statistics(&first, 1)), ((0, 3, 0), (1, 4, 4)));
    let second = directory.path().join("out1");
    assert_eq!(kinds(&second), [SECTION, 1, 5], "what gossip lost before is told before");
    assert_eq!(statistics(&second, 1), (0, 2, 2));
}

#[test]
fn a_file_without_a_packet_has_an_interface_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.pcapng");
    let mut files = files(plan(path.clone()), clock::now()).unwrap();
    files.finish(&names()).unwrap();
    assert_eq!(kinds(&path), [SECTION, 1, 5]);
}

#[test]
fn a_point_that_gets_another_name_is_another_interface() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.pcapng");
    let (now, mut names) = (clock::now(), names());
    let mut files = files(plan(path.clone()), now).unwrap();
    for name in ["port:web", "port:web", "port:db"] {
        names.set(PORT, name, "a port");
        files.record(&record(&[1; 60], 1), &names, None, now).unwrap();
    }
    files.finish(&names).unwrap();
    assert_eq!(kinds(&path), [SECTION, 1, 6, 6, 1, 6, 5, 5]);
}

#[test]
fn files_of_a_size_are_a_ring_with_the_names_that_tcpdump_gives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let now = clock::now();
    let ring = Plan { size: Some(1000), count: NonZeroU32::new(3), ..plan(path.clone()) };
    let mut files = files(ring, now).unwrap();
    for n in 1..=8 {
        files.record(&record(&[n; 1000], 1), &names(), None, now).unwrap();
    }
    files.finish(&names()).unwrap();
    assert_eq!(files.frames(), 8);
    let mut found: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["out0", "out1", "out2"]);
    for (index, newest) in [(0, 7), (1, 8), (2, 6)] {
        let path = directory.path().join(format!("out{index}"));
        let octets = fs::read(&path).unwrap();
        assert!(octets.windows(1000).any(|part| part == [newest; 1000]), "{newest} is in {}", path.display());
        assert_eq!(kinds(&path), [SECTION, 1, 6, 5], "its interface is in each file");
    }
}

#[test]
fn names_are_as_wide_as_the_last_one() {
    let name = |size: Option<u64>, count: u32, index: u32| {
        let plan = Plan { size, count: NonZeroU32::new(count), ..plan("out".into()) };
        plan.name(index, Duration::ZERO).to_str().unwrap().to_owned()
    };
    assert_eq!([name(Some(1), 0, 0), name(Some(1), 0, 12)], ["out", "out12"]);
    assert_eq!([name(Some(1), 1, 0), name(Some(1), 11, 0), name(Some(1), 11, 10)], ["out", "out00", "out10"]);
    assert_eq!(name(None, 11, 0), "out");
}

#[test]
fn a_time_in_a_name_is_the_time_of_the_file_and_their_count_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let now = clock::now();
    let hour = Duration::from_secs(3600);
    let timed =
        Plan { time: Some(hour), count: NonZeroU32::new(2), ..plan(directory.path().join("out-%Y.pcapng")) };
    assert!(timed.name(0, hour * 24 * 365 * 30).to_str().unwrap().ends_with("out-1999.pcapng"));
    let mut files = files(timed, now).unwrap();
    assert!(!files.turn(&names(), now + hour / 2).unwrap());
    assert_eq!(files.before, (0, 0));
    assert!(!files.turn(&names(), now + hour).unwrap());
    assert_eq!(files.before, (0, 1), "the second file");
    assert!(files.turn(&names(), now + hour * 2).unwrap(), "there is no third");
}

#[test]
fn blocks_that_are_not_whole_are_left_out() {
    let block = |len: u32| [&[0; 4], &len.to_le_bytes()[..], &vec![0; len as usize - 8]].concat();
    let octets = [block(12), block(20)].concat();
    for (len, whole) in [(0, 0), (11, 0), (12, 12), (31, 12), (32, 32)] {
        assert_eq!(whole_blocks(&octets, len), whole, "{len} octets");
    }
    assert_eq!(whole_blocks(&[0; 16], 16), 0, "a block of no octets");
}

#[test]
fn a_full_disk_is_an_error_and_counts_nothing() {
    let now = clock::now();
    let mut files = files(plan("/dev/full".into()), now).unwrap();
    files.record(&record(&[1; 60], 3), &names(), None, now).unwrap();
    assert_eq!(files.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(files.frames(), 0);
    files.finish(&names()).expect("nothing more is tried");
}
