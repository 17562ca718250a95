use fdb::gossip::seal::{KeyId, Refusal};

use super::*;

#[test]
fn every_reason_has_its_own_name_and_a_sentence() {
    let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DropReason::ALL.len());
    assert!(DropReason::ALL.iter().all(|r| r.sentence().ends_with('.')));
}

#[test]
fn totals_add_workers_up_and_see_an_imbalance() {
    let workers = [WorkerCounters::default(), WorkerCounters::default()];
    workers[0].ledger.received_from_ports.add(5);
    workers[1].ledger.delivered_to_underlay.add(3);
    assert!(!Totals::of(&workers).balanced());
    workers[1].count_drop(DropReason::Vlan, Direction::Outbound, (2, 120));
    workers[0].count_drop(DropReason::Vlan, Direction::Outbound, (0, 60));
    let totals = Totals::of(&workers);
    assert!(totals.balanced());
    assert_eq!(totals.drops[DropReason::Vlan as usize], [0, 2]);
    assert_eq!(totals.drop_octets[DropReason::Vlan as usize], [0, 180]);
}

#[test]
fn what_workers_count_of_a_peer_adds_up_by_format_and_way() {
    let counts = PeerCounts::new(2);
    counts.count_received(0, Format::Vxlan, 1, 100);
    counts.count_received(1, Format::Vxlan, 2, 200);
    counts.count_received(1, Format::Geneve, 3, 300);
    counts.count_sent(0, Format::Geneve, 4, 400);
    counts.count_sent(1, Format::Vxlan, 5, 500);
    counts.count_sent(2, Format::Vxlan, 9, 900); // there is no such worker
    let expected = [3, 300, 3, 300, 5, 500, 4, 400];
    assert_eq!(counts.read().named().iter().map(|(_, value)| *value).collect::<Vec<_>>(), expected);
}

#[test]
fn an_answer_is_counted_by_its_protocol_and_in_the_ledger() {
    let worker = WorkerCounters::default();
    let mut frame = [0; 60];
    frame[12..14].copy_from_slice(&ether::ARP.to_be_bytes());
    worker.count_answer(&frame);
    frame[12..14].copy_from_slice(&ether::IPV6.to_be_bytes());
    (0..2).for_each(|_| worker.count_answer(&frame));
    assert_eq!(worker.answers.read(), AnswersView { arp: 1, nd: 2 });
    assert_eq!(worker.ledger.read().answered, 3);
}

#[test]
fn a_seal_that_is_refused_counts_under_the_name_of_the_refusal() {
    let id = KeyId::new([7; 4]);
    let failures = [
        Refusal::Insecure,
        Refusal::Sealed,
        Refusal::UnknownKey { id },
        Refusal::BadTag,
        Refusal::Replay,
        Refusal::TooOld,
        Refusal::Retired,
        Refusal::Exhausted,
    ];
    for refusal in failures {
        let seals = Seals::default();
        seals.note(&refusal);
        let counted: Vec<_> = seals.read().named().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(refusal.name(), 1)]);
    }
    let seals = Seals::default();
    seals.note(&Refusal::Stranger);
    assert_eq!(seals.read(), SealsView::default());
    assert_eq!(seals.read().named().len(), failures.len());
}
