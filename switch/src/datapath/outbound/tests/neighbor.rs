//! ARP and ND from ports: what is answered here, what is flooded, and what is told to control.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use encap::ether::Frame;
use encap::inet::Layers;
use encap::neighbor::{Binding, Message};
use encap::vnet::VnetHeader;
use encap::{MacAddr, PortId};
use etherparse::{Icmpv6Type, PacketBuilder};
use fdb::Location;
use fdb::neighbor::Claim;
use proptest::prelude::*;

use crate::counters::{Direction::Outbound, DropReason};
use crate::datapath::frames::mac;
use crate::datapath::testing::{Lab, peer_vtep, vni};
use crate::events::WorkerEvent;
use crate::topology::Guard;

/// An ARP request of MAC 1.
fn request(source: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [&MacAddr::BROADCAST.octets()[..], &mac(1).octets(), &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    [&head[..], &mac(1).octets(), &source, &[0; 6], &target].concat()
}

/// MAC 1 has 10.0.0.1 and asks for 10.0.0.x.
fn who_has(last: u8) -> Vec<u8> {
    request([10, 0, 0, 1], [10, 0, 0, last])
}

/// An ND message of MAC 1 with a link-layer address.
fn nd(kind: u8, flags: u8, [source, to, target]: [&str; 3]) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let [.., a, b, c, d] = ip(to);
    let option = [&[kind - 134, 1][..], &mac(1).octets()].concat();
    let options = if source == "::" { &[][..] } else { &option };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(1).octets(), [0x33, 0x33, a, b, c, d])
        .ipv6(ip(source), ip(to), 255)
        .icmpv6(Icmpv6Type::Unknown { type_u8: kind, code_u8: 0, bytes5to8: [flags, 0, 0, 0] })
        .write(&mut frame, &[&ip(target)[..], options].concat())
        .unwrap();
    frame
}

fn solicitation(source: &str) -> Vec<u8> {
    nd(135, 0, [source, "ff02::1:ff00:2", "fd00::2"])
}

/// A lab that answers, and knows MAC 2 behind the peer with 10.0.0.2 and fd00::2.
fn suppressing() -> Lab {
    let mut lab = Lab::with_remote();
    lab.change_network(|network| network.suppress = true);
    claim(&mut lab, 2, false);
    lab
}

fn claim(lab: &mut Lab, last: u8, router: bool) {
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into());
    let ips = [[10, 0, 0, last].into(), v6.into()];
    let claim = Claim { vni: vni(), mac: mac(last), ips: &ips, router, mob_seq: 0, origin: 1 };
    lab.worker.neighbors.claim(&claim);
}

/// Asserts that the last frame was answered to its port and went nowhere; returns what the answer tells.
fn answered(lab: &mut Lab) -> Binding {
    let ledger = lab.worker.totals().ledger;
    assert_eq!((ledger.received_from_ports, ledger.answered), (1, 1));
    let answers = lab.worker.totals().answers;
    assert_eq!(answers.arp + answers.nd, 1);
    assert_eq!((ledger.copies, ledger.delivered_to_ports, ledger.delivered_to_underlay), (0, 0, 0));
    assert_eq!((lab.datagrams(), lab.drops()), (vec![], vec![]));
    let deliveries = lab.deliveries();
    let [answer] = &deliveries[..] else { panic!("{} deliveries", deliveries.len()) };
    assert_eq!((answer.port, answer.vnet), (lab.port, VnetHeader::default()));
    let frame = Frame::new(&answer.frame).unwrap();
    assert_eq!(frame.dst(), mac(1));
    Message::decode(&frame, &Layers::of(&answer.frame)).unwrap().binding.unwrap()
}

/// Asserts that the last frame went to the other port and to the peer, unchanged.
#[track_caller]
fn flooded(lab: &mut Lab, frame: &[u8]) {
    assert_eq!(lab.worker.totals().ledger.answered, 0);
    assert_eq!(lab.datagrams().iter().map(|datagram| &datagram[8..]).collect::<Vec<_>>(), [frame]);
    let deliveries = lab.deliveries();
    assert_eq!(deliveries.iter().map(|d| (d.port, &d.frame[..])).collect::<Vec<_>>(), [(lab.other, frame)]);
}

fn told(lab: &mut Lab) -> Vec<(Binding, PortId)> {
    let events = std::mem::take(&mut lab.worker.sink.events);
    let binds = events.into_iter().filter_map(|event| match event {
        WorkerEvent::Bind { vni: of, told, port } if of == vni() => Some((told, port)),
        _ => None,
    });
    binds.collect()
}

#[test]
fn a_request_for_a_known_address_is_answered_where_it_came_from_and_goes_nowhere() {
    for frame in [who_has(2), solicitation("fd00::1")] {
        let mut lab = suppressing();
        lab.read(&frame);
        assert_eq!(answered(&mut lab).mac, mac(2));
    }
    let mut to_one = who_has(2);
    to_one[..6].copy_from_slice(&mac(2).octets());
    let mut lab = suppressing();
    lab.read(&to_one);
    assert_eq!(answered(&mut lab), Binding { ip: [10, 0, 0, 2].into(), mac: mac(2), router: None });
}

#[test]
fn an_address_behind_another_port_is_answered_too() {
    let mut lab = suppressing();
    lab.put(3, Location::Local(lab.other));
    claim(&mut lab, 3, false);
    lab.read(&who_has(3));
    assert_eq!(answered(&mut lab).mac, mac(3));
}

#[test]
fn an_advertisement_says_whether_the_owner_is_a_router() {
    for router in [false, true] {
        let mut lab = suppressing();
        claim(&mut lab, 2, router);
        lab.read(&solicitation("fd00::1"));
        assert_eq!(answered(&mut lab).router, Some(router));
    }
}

#[test]
fn whoever_asks_whether_an_address_is_free_hears_the_owner_itself() {
    for frame in [request([0; 4], [10, 0, 0, 2]), solicitation("::"), request([10, 0, 0, 2], [10, 0, 0, 2])] {
        let mut lab = suppressing();
        lab.read(&frame);
        flooded(&mut lab, &frame);
    }
}

#[test]
fn what_is_not_surely_known_is_flooded() {
    let frame = who_has(2);
    let cases: [fn(&mut Lab); 5] = [
        |lab| lab.change_network(|network| network.suppress = false),
        |lab| lab.worker.neighbors.unclaim(vni(), mac(2), 1),
        // The owner is behind the port that asks, or nobody knows where it is.
        |lab| lab.put(2, Location::Local(lab.port)),
        |lab| assert_eq!(lab.worker.table.del(vni(), mac(2)), fdb::DelOutcome::Removed),
        |lab| lab.put(2, Location::Local(PortId::new(99))),
    ];
    for change in cases {
        let mut lab = suppressing();
        change(&mut lab);
        lab.read(&frame);
        flooded(&mut lab, &frame);
    }
    for target in [[10, 0, 0, 9], [255; 4]] {
        let frame = request([10, 0, 0, 1], target);
        let mut lab = suppressing();
        lab.read(&frame);
        flooded(&mut lab, &frame);
    }
}

#[test]
fn an_owner_behind_a_peer_that_is_down_is_not_answered_for() {
    let mut lab = suppressing();
    lab.change_peer(|peer| peer.up = false);
    lab.read(&who_has(2));
    assert_eq!(lab.worker.totals().ledger.answered, 0);
    assert_eq!(lab.deliveries().len(), 1, "the other port gets the flood");
}

#[test]
fn who_asks_for_an_address_that_is_its_own_elsewhere_is_not_answered() {
    let mut lab = suppressing();
    lab.put(1, Location::Remote(peer_vtep()));
    let ips = [[10, 0, 0, 7].into()];
    let claim = Claim { vni: vni(), mac: mac(1), ips: &ips, router: false, mob_seq: 0, origin: 1 };
    lab.worker.neighbors.claim(&claim);
    lab.read(&who_has(7));
    flooded(&mut lab, &who_has(7));
}

#[test]
fn malformed_and_tagged_requests_are_flooded() {
    let mut wrong = solicitation("fd00::1");
    *wrong.last_mut().unwrap() ^= 1;
    let tagged = [&who_has(2)[..12], &[0x81, 0, 0, 7], &who_has(2)[12..]].concat();
    for frame in [wrong, tagged, who_has(2)[..41].to_vec()] {
        let mut lab = suppressing();
        lab.change_network(|network| network.vlan_pass = true);
        lab.read(&frame);
        flooded(&mut lab, &frame);
        assert_eq!(told(&mut lab), []);
    }
}

#[test]
fn an_answer_that_its_port_does_not_take_is_a_drop() {
    for reason in [DropReason::TapFull, DropReason::TapGone] {
        let mut lab = suppressing();
        lab.worker.sink.refusing = vec![(lab.port, reason)];
        lab.read(&who_has(2));
        lab.assert_dropped(reason, Outbound, 1);
        assert_eq!(lab.worker.totals().ledger.answered, 0);
    }
}

#[test]
fn answers_do_not_count_as_broadcast() {
    let mut lab = suppressing();
    let port = lab.port;
    lab.worker.change(|topology| topology.ports.get_mut(&port).unwrap().bum_pps = 1);
    (0..50).for_each(|_| lab.read(&who_has(2)));
    assert_eq!((lab.worker.totals().ledger.answered, lab.drops()), (50, vec![]));
}

#[test]
fn what_a_port_tells_goes_to_control_once_and_again_before_it_ages() {
    let ip: IpAddr = "fd00::1".parse().unwrap();
    let v4 = Binding { ip: [10, 0, 0, 1].into(), mac: mac(1), router: None };
    let advertisement = nd(136, 0xa0, ["fe80::1", "ff02::1", "fd00::1"]);
    for (frame, expected) in [
        (who_has(9), v4),
        (request([10, 0, 0, 1], [10, 0, 0, 1]), v4),
        (solicitation("fd00::1"), Binding { ip, ..v4 }),
        (advertisement, Binding { ip, router: Some(true), ..v4 }),
    ] {
        let mut lab = suppressing();
        let port = lab.port;
        lab.read(&frame);
        let events = std::mem::take(&mut lab.worker.sink.events);
        assert!(
            matches!(&events[0], WorkerEvent::Learn { .. }),
            "first where the MAC address is: {events:?}"
        );
        lab.worker.sink.events = events;
        assert_eq!(told(&mut lab), [(expected, port)]);
        lab.read(&frame);
        lab.worker.learn();
        lab.read(&frame);
        assert_eq!(told(&mut lab), [], "control knows");
        for _ in 0..300 {
            lab.worker.now += Duration::from_secs(1);
            lab.read(&frame);
            lab.read(&frame);
            lab.worker.learn();
        }
        assert!(lab.worker.neighbors.ips_of(vni(), mac(1)).0.contains(&expected.ip));
        lab.worker.neighbors.expire(lab.worker.now);
        assert!(lab.worker.neighbors.ips_of(vni(), mac(1)).0.contains(&expected.ip), "it was refreshed");
    }
}

#[test]
fn what_a_port_may_not_send_and_what_a_host_without_address_asks_teaches_nothing() {
    let mut lab = suppressing();
    let port = lab.port;
    let guard = Guard { mac: Some(mac(1)), addresses: vec!["10.0.0.8".parse().unwrap()] };
    lab.worker.change(|topology| topology.ports.get_mut(&port).unwrap().guard = Some(guard));
    lab.read(&who_has(9));
    lab.read(&request([0; 4], [10, 0, 0, 2]));
    lab.read(&solicitation("::"));
    assert_eq!(told(&mut lab), []);
    lab.read(&request([10, 0, 0, 8], [10, 0, 0, 9]));
    assert_eq!(told(&mut lab).len(), 1);
}

#[test]
fn a_network_that_does_not_suppress_does_not_learn_addresses() {
    let mut lab = suppressing();
    lab.change_network(|network| network.suppress = false);
    lab.read(&who_has(9));
    assert_eq!(told(&mut lab), []);
}

#[test]
fn a_port_tells_control_of_so_many_addresses_a_second() {
    let mut lab = suppressing();
    for n in 0..3000_u16 {
        let [a, b] = n.to_be_bytes();
        lab.read(&request([10, 1, a, b], [10, 0, 0, 9]));
    }
    assert_eq!(told(&mut lab).len(), 1999, "and one of its MAC address");
    assert!(lab.worker.totals().notices.learn_lost > 0);
}

proptest! {
    #[test]
    fn only_a_valid_request_for_a_known_owner_elsewhere_is_answered(
        kind in 0usize..4,
        at in proptest::option::of(0usize..90),
        octet in any::<u8>(),
        cut in proptest::option::weighted(0.2, 14usize..90),
        place in 0usize..4,
        suppress in proptest::bool::weighted(0.9),
    ) {
        let mut lab = suppressing();
        lab.change_network(|network| network.suppress = suppress);
        match place {
            0 => lab.put(2, Location::Local(lab.port)),
            1 => lab.put(2, Location::Local(lab.other)),
            2 => lab.worker.neighbors.unclaim(vni(), mac(2), 1),
            _ => {}
        }
        let mut frame = match kind {
            0 => who_has(2),
            1 => solicitation("fd00::1"),
            2 => request([0; 4], [10, 0, 0, 2]),
            _ => nd(136, 0x20, ["fd00::1", "ff02::1", "fd00::1"]),
        };
        if let Some(octet_at) = at.and_then(|at| frame.get_mut(at)) {
            *octet_at = octet;
        }
        frame.truncate(cut.unwrap_or(frame.len()));
        lab.read(&frame);
        let asked = Message::decode(&Frame::new(&frame).unwrap(), &Layers::of(&frame)).and_then(|m| m.question);
        let owned: [IpAddr; 2] = [[10, 0, 0, 2].into(), "fd00::2".parse().unwrap()];
        let known = asked.is_some_and(|asked| owned.contains(&asked.target()) && asked.asker() != mac(2));
        let elsewhere = matches!(place, 1 | 3);
        let answered = suppress && known && elsewhere && lab.drops().is_empty();
        prop_assert_eq!(lab.worker.totals().ledger.answered, u64::from(answered));
    }
}
