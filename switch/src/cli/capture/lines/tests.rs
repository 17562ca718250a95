use std::path::Path;
use std::sync::Arc;

use encap::{PortId, Vni};
use serde_json::{Value, json};

use super::*;
use crate::capture::record::{Flow, Ids, Point};
use crate::counters::DropReason;

const PORT: Point = Point::Port(PortId::new(3));

fn record(octets: &[u8]) -> Record<'_> {
    Record {
        at: 90_000_000_123_456_789,
        point: PORT,
        direction: Flow::In,
        ids: Ids { first: 7, count: 2 }.into(),
        size: 0,
        vni: Some(Vni::new(100).unwrap()),
        inside: None,
        decision: Decision::ToPort(PortId::new(3)),
        dropped: None,
        outer: 0,
        len: 60,
        octets,
    }
}

/// What is written of a record.
fn written(json: bool, record: &Record<'_>) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut lines = Lines::new(json, Target::open(file.path(), Arc::default()).unwrap());
    let mut names = Names::default();
    names.set(PORT, "port:web", "a port");
    lines.record(record, &names, None);
    assert!(lines.pending() > 0);
    lines.flush().unwrap();
    assert_eq!((lines.frames(), lines.pending()), (2, 0));
    std::fs::read_to_string(file.path()).unwrap()
}

#[test]
fn a_line_begins_with_the_local_time_of_day() {
    let line = written(false, &record(&[0; 60]));
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.len() == 15 && time.ends_with(".123456"), "{line}");
    assert!(rest.starts_with("port:web in  vni 100 ") && rest.ends_with("#0.7-8\n"), "{line}");
}

#[test]
fn an_object_has_what_is_known_and_no_more() {
    let object: Value = serde_json::from_str(&written(true, &record(&[0; 60]))).unwrap();
    let expected = json!({
        "schema": "weft.capture-frame/1", "time": "1972-11-07T16:00:00.123456789Z", "point": "port:web",
        "direction": "in", "ids": ["#0.7-8"], "frames": 2, "octets": 60, "vni": 100, "decision": "to_port",
        "to": "port:web",
        "text": "vni 100 00:00:00:00:00:00 > 00:00:00:00:00:00 802.3 len 60",
    });
    assert_eq!(object, expected);

    let dropped = Record {
        decision: Decision::None,
        dropped: Some((DropReason::Vlan, Direction::Outbound)),
        inside: Some(5),
        ..record(&[0; 60])
    };
    let object: Value = serde_json::from_str(&written(true, &dropped)).unwrap();
    assert_eq!(
        (&object["dropped"]["reason"], &object["dropped"]["direction"]),
        (&json!("vlan"), &json!("outbound"))
    );
    assert_eq!((&object["inside_ns"], object.get("to")), (&json!(5), None));
}

#[test]
fn lines_that_cannot_be_written_are_not_counted() {
    let mut lines = Lines::new(false, Target::open(Path::new("/dev/full"), Arc::default()).unwrap());
    lines.record(&record(&[0; 60]), &Names::default(), None);
    assert_eq!(lines.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(lines.frames(), 0);
}
