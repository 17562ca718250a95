use super::*;
use crate::cli::top::model::tests::{answers, peer, seen};

#[test]
fn everything_is_there_once_in_columns() {
    let text = text(&seen());
    let expected = "\
node-a  degraded (1)  up 3h05m  weft 0.1.0  1 worker
in 1.68 Gbit/s 211 kpps  out 33.6 Mbit/s 4.20 kpps  drops 40 pps  lost before 3

NAME    STATE       RTT   LOSS   MTU    FROM PEER      TO PEER   FROM PPS     TO PPS  CAUSE
node-c  degraded  212us  1.0 %  1230  8.00 Mbit/s  160 kbit/s  1.00 kpps     20 pps  small_mtu
";
    println!("{text}");
    assert_eq!(text.lines().take(2).collect::<Vec<_>>(), expected.lines().take(2).collect::<Vec<_>>());
    for title in ["NAME    STATE", "NAME  VNI", "REASON", "SUBJECT"] {
        assert_eq!(text.lines().filter(|line| line.starts_with(title)).count(), 1, "{title} in:\n{text}");
    }
    assert!(!text.contains("HISTORY") && text.lines().all(|line| line.trim_end() == line), "{text}");
}

#[test]
fn what_there_is_none_of_is_said_and_names_have_no_control_characters() {
    let mut few = answers(0);
    few.metrics.ledger.drops.clear();
    few.drops.lost_before.clear();
    few.status.degraded.clear();
    few.peers.entries = vec![peer("a\x1b[2Jb\nc", 1)];
    let mut model = Model::default();
    model.take(few);
    let text = text(&model);
    assert!(text.contains("\nDrops: nothing was dropped\n\nCauses: everything works\n"), "{text}");
    assert!(text.contains("\na[2Jbc  "), "{text}");
}
