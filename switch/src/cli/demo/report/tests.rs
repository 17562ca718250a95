use std::collections::BTreeMap;

use encap::Format;

use super::*;
use crate::control::protocol::DropCount;

fn pinged(last: u8, answered: u32) -> Pinged {
    Pinged { to: Ipv4Addr::new(10, 32, 1, last), answered, median_us: (answered > 0).then_some(123) }
}

fn rows(pods: u8, answered: u32) -> Vec<Row> {
    let row = |from| {
        let results = (1..=pods).filter(|to| *to != from).map(|to| pinged(to, answered)).collect();
        Row { from: Ipv4Addr::new(10, 32, 1, from), results }
    };
    (1..=pods).map(row).collect()
}

fn moved(sent: u64, received: u64, intact: bool) -> Transfer {
    let (from, to) = ("pod-1-1".to_owned(), "pod-2-1".to_owned());
    Transfer { from, to, sent, received, intact, micros: 2_000_000 }
}

fn ledger(received: u64, dropped: u64) -> Drops {
    let drops = BTreeMap::from([("no_destination".to_owned(), DropCount { inbound: 0, outbound: dropped })]);
    Drops {
        received,
        delivered: 10,
        answered: 0,
        copies: 0,
        drops,
        notices: BTreeMap::new(),
        lost_before: BTreeMap::new(),
        sides: BTreeMap::new(),
    }
}

#[test]
fn a_matrix_has_a_row_and_a_column_a_pod() {
    let text = pings(&rows(2, 30), 30);
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(lines[0].split_whitespace().skip(3).collect::<Vec<_>>(), ["10.32.1.1", "10.32.1.2"]);
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["10.32.1.1", ".", "0.123"]);
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["10.32.1.2", "0.123", "."]);
}

#[test]
fn lost_pings_are_shown_in_their_cell_and_as_the_reason_of_the_failure() {
    let broken = rows(2, 29);
    assert!(pings(&broken, 30).contains("29/30"));
    let complaints = complaints(&broken, 30, &[moved(8, 8, true)], &[]);
    assert_eq!(complaints[0], "10.32.1.2 answered 29 of 30 pings from 10.32.1.1");
    assert_eq!(complaints.len(), 2);
}

#[test]
fn lost_or_changed_data_and_an_unbalanced_ledger_are_failures() {
    let ledgers = [("node-1".to_owned(), ledger(11, 1)), ("node-2".to_owned(), ledger(11, 0))];
    assert_eq!(complaints(&[], 30, &[moved(8, 8, true)], &ledgers[..1]), [""; 0]);
    assert_eq!(complaints(&[], 30, &[moved(8, 7, true)], &[]).len(), 1);
    assert_eq!(complaints(&[], 30, &[moved(8, 8, false)], &[]).len(), 1);
    assert_eq!(complaints(&[], 30, &[moved(0, 0, true)], &[]).len(), 1, "nothing was sent");
    assert_eq!(
        complaints(&[], 30, &[moved(8, 8, true)], &ledgers),
        ["the ledger of node-2 does not balance"]
    );
}

#[test]
fn throughput_is_in_gigabits_of_received_data() {
    let text = transfer(&moved(500_000_000, 500_000_000, true));
    assert!(text.contains("2.00 Gbit/s (500 MB in 2.00 s, every octet as sent)"), "{text}");
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    for (nodes, pods) in [(2, 1), (3, 2), (8, 8)] {
        let plan = Plan::new(nodes, pods, Format::Vxlan);
        let all = [
            topology(&plan),
            pings(&rows(nodes * pods, 30), 30),
            transfer(&moved(u64::MAX / 2, u64::MAX / 2, false)),
            ledgers(&[("node-1".to_owned(), ledger(11, 1))]),
        ];
        for line in all.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}

#[test]
fn the_mtu_arithmetic_adds_up_and_is_that_of_the_switch() {
    let host = HostLink { name: "eth0".to_owned(), mtu: Mtu::new(9000).unwrap() };
    let text = mtu(Format::Geneve, Some(&host), &[Mtu::new(1450).unwrap(); 6]);
    assert!(text.contains("9000 - 20 IPv4 - 8 UDP - 8 Geneve - 14 Ethernet = 8950\n"), "{text}");
    assert!(text.contains("9000 - 40 IPv6 - 8 UDP - 8 Geneve - 14 Ethernet = 8930\n"), "{text}");
    assert!(text.contains("weft has set the eth0 of all 6 pods to 1450\n"), "{text}");
    for line in text.lines().filter(|line| line.contains(" = ")) {
        let (terms, left) = line.split_once(" = ").unwrap();
        let numbers = terms.split_whitespace().filter_map(|word| word.parse::<i64>().ok());
        assert_eq!(numbers.reduce(|a, b| a - b).unwrap(), left.parse::<i64>().unwrap(), "{line}");
    }
}

#[test]
fn a_link_too_small_for_the_tunnel_is_said_to_be() {
    let host = HostLink { name: "eth0".to_owned(), mtu: Mtu::new(100).unwrap() };
    assert!(mtu(Format::Vxlan, Some(&host), &[]).contains("14 Ethernet = too little\n"));
}

#[test]
fn a_leak_and_a_missing_ping_are_failures_unless_packets_were_lost() {
    let ping = Some(Vec::new());
    let good = Captured { packets: 9, datagrams: 9, ping, ..Captured::default() };
    assert_eq!(complaints_of_capture(&good), [""; 0]);
    assert_eq!(complaints_of_capture(&Captured { leaks: 1, ..good }).len(), 1);
    assert_eq!(complaints_of_capture(&Captured::default()).len(), 1);
    assert_eq!(complaints_of_capture(&Captured { lost: 1, ..Captured::default() }), [""; 0]);
}

#[test]
fn what_a_capture_lacks_is_said() {
    let path = Path::new("demo.pcap");
    let whole = capture(path, &Captured { packets: 9, ..Captured::default() }, 4_000_000);
    assert!(whole.contains("9 packets in demo.pcap") && whole.contains("as on a wire"), "{whole}");
    let text = capture(path, &Captured { packets: 9, lost: 3, uncut: 2, ..Captured::default() }, 4_000_000);
    assert!(text.contains("3 more came too fast") && text.contains("2 packets are longer"), "{text}");
    assert!(!text.contains("as on a wire"), "{text}");
    assert!(whole.lines().chain(text.lines()).all(|line| line.chars().count() <= WIDTH));
}
