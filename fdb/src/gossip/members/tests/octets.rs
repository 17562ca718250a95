//! Every decoder with what was written, and with any octets.

use proptest::prelude::*;

use super::*;

#[test]
fn another_version_trailing_octets_and_long_packets_are_refused() {
    let (who, hello) = (id(1, 1, 1).process(), wire::leave(&id(1, 1, 1)));
    assert_eq!(Packet::decode(who, &[2, 0]), Err(WireError::Version(2)));
    assert_eq!(Packet::decode(who, &[VERSION, 9]), Err(WireError::Unknown { what: "form", value: 9 }));
    assert_eq!(Packet::decode(who, &[&hello[..], &[0]].concat()), Err(WireError::Trailing(1)));
    assert_eq!(Packet::decode(who, &[0; MAX_PAYLOAD + 1]), Err(WireError::TooLong(MAX_PAYLOAD + 1)));
    for len in 0..hello.len() {
        assert_eq!(Packet::decode(who, &hello[..len]), Err(WireError::Truncated));
    }
}

#[test]
fn an_epoch_that_replication_could_not_tell_of_is_refused() {
    let sent = |epoch: u64| MemberId { epoch: Epoch::new(epoch), ..id(1, 1, 1) };
    let (who, last) = (id(1, 1, 1).process(), Epoch::MAX.get());
    assert_eq!(Packet::decode(who, &wire::leave(&sent(last))), Ok(Packet::Leave { from: sent(last) }));
    assert_eq!(Packet::decode(who, &wire::leave(&sent(last + 1))), Err(WireError::Range));
    let outranked = wire::outranked(&id(1, 1, 1), Epoch::new(u64::MAX));
    assert_eq!(Packet::decode(who, &outranked), Err(WireError::Range));
}

#[test]
fn a_number_is_as_long_as_it_needs_and_never_too_large() {
    let hello = |epoch| wire::leave(&id(1, epoch, 1));
    assert_eq!(hello(u64::MAX).len(), hello(0).len() + 9);
    let who = id(1, 1, 1).process();
    for epoch in [0, 127, 128, 1 << 32, Epoch::MAX.get()] {
        assert_eq!(Packet::decode(who, &hello(epoch)), Ok(Packet::Leave { from: id(1, epoch, 1) }));
    }
    let mut above = hello(u64::MAX);
    let last = above.len() - 2;
    above[last] = 2;
    assert_eq!(Packet::decode(who, &above), Err(WireError::Range));
    let place = hello(1);
    let above = [&place[..place.len() - 1], &[0xff, 0xff, 0xff, 0xff, 0x1f]].concat();
    assert_eq!(Packet::decode(who, &above), Err(WireError::Range));
}

fn any_id() -> impl Strategy<Value = MemberId> {
    let parts = (
        any::<std::net::IpAddr>(),
        any::<u16>(),
        any::<u128>(),
        0..=Epoch::MAX.get(),
        any::<u128>(),
        any::<u32>(),
    );
    parts.prop_map(|(ip, port, node, epoch, boot, generation)| MemberId {
        generation,
        ..MemberId::new(SocketAddr::new(ip, port), NodeId::new(node), Epoch::new(epoch), BootId::new(boot))
    })
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Down)]
}

fn any_message() -> impl Strategy<Value = Message<MemberId>> {
    prop_oneof![
        any::<u8>().prop_map(Message::Ping),
        any::<u8>().prop_map(Message::Ack),
        (any_id(), any::<u8>()).prop_map(|(target, probe_number)| Message::PingReq { target, probe_number }),
        (any_id(), any::<u8>())
            .prop_map(|(origin, probe_number)| Message::IndirectPing { origin, probe_number }),
        (any_id(), any::<u8>())
            .prop_map(|(target, probe_number)| Message::IndirectAck { target, probe_number }),
        (any_id(), any::<u8>())
            .prop_map(|(origin, probe_number)| Message::ForwardedAck { origin, probe_number }),
        Just(Message::Announce),
        Just(Message::TurnUndead),
        Just(Message::Gossip),
    ]
}

/// Octets that look like a packet, so that the decoder gets far.
fn likely_octets() -> impl Strategy<Value = Vec<u8>> {
    let head = (Just(VERSION), 0..5_u8).prop_map(|(version, form)| vec![version, form]);
    let small = proptest::collection::vec(prop_oneof![0..12_u8, any::<u8>()], 0..400);
    (head, small).prop_map(|(head, rest)| [head, rest].concat())
}

proptest! {
    #[test]
    fn every_packet_of_foca_is_read_as_it_was_written(
        (dst, src, src_incarnation) in (any_id(), any_id(), any::<u16>()),
        message in any_message(),
        members in proptest::collection::vec((any_id(), any::<u16>(), any_state()), 0..12),
    ) {
        use foca::Codec;
        let plain = matches!(message, Message::Announce | Message::TurnUndead);
        let updates: Vec<_> =
            members.into_iter().filter(|_| !plain).map(|(id, inc, state)| Member::new(id, inc, state)).collect();
        let header = foca::Header { src, src_incarnation, dst, message: message.clone() };
        let mut written = Vec::new();
        Wire.encode_header(&header, &mut written).unwrap();
        if !plain {
            written.extend(u16::try_from(updates.len()).unwrap().to_be_bytes());
        }
        for member in &updates {
            Wire.encode_member(member, &mut written).unwrap();
        }
        let sent = wire::swim(&dst, &written).unwrap();
        prop_assert_eq!((sent.incarnation, &sent.message), (src_incarnation, &message));
        let expected_tag = if message == Message::Announce { wire::ANYBODY } else { wire::tag(&dst) };
        let Packet::Swim { tag, swim, body } = Packet::decode(src.process(), &sent.bytes).unwrap() else {
            panic!("another form")
        };
        prop_assert_eq!(tag, expected_tag);
        // Two octets that say that there are no updates are not sent.
        let without_count = written.len() - if updates.is_empty() && !plain { 2 } else { 0 };
        prop_assert_eq!(wire::swim_for(&dst, src.process(), body), &written[..without_count]);
        prop_assert_eq!(swim, Swim { from: src, incarnation: src_incarnation, message, updates });
    }

    #[test]
    fn a_roster_is_read_as_it_was_written(
        members in proptest::collection::vec((any_id(), any::<u16>(), any_state()), 0..40),
    ) {
        let members: Vec<_> = members.into_iter().map(|(id, inc, state)| Member::new(id, inc, state)).collect();
        let octets = wire::roster(&members);
        prop_assert_eq!(wire::read_roster(&octets).unwrap(), members);
        prop_assert!(wire::read_roster(&octets[..octets.len() - 1]).is_err());
        prop_assert_eq!(wire::read_roster(&[&octets[..], &[0]].concat()), Err(WireError::Trailing(1)));
    }

    #[test]
    fn any_octets_are_taken_or_refused_without_harm(
        octets in prop_oneof![likely_octets(), proptest::collection::vec(any::<u8>(), 0..200)],
    ) {
        let now = start();
        let mut node = Members::new(Config::default(), id(1, 1, 1), now, 1);
        let _ = node.handle_packet(addr(2), id(2, 1, 1).process(), &octets, now);
        let _ = node.apply_roster(id(2, 1, 1).process(), &octets, now);
        node.handle_timeout(now + SECOND);
    }

    #[test]
    fn a_changed_octet_of_a_real_packet_does_no_harm(place in 0..2_000_usize, value: u8, cut in 0..2_000_usize) {
        let mut net = Net::new(&[id(1, 1, 1), id(2, 1, 1), id(3, 1, 1)]);
        let roster = net.nodes[2].roster();
        net.nodes[1].apply_roster(id(3, 1, 1).process(), &roster, net.now).unwrap();
        net.nodes[1].announce(addr(1), net.now);
        for _ in 0..20 {
            for n in 0..2 {
                while let Some(output) = net.nodes[n].poll_output() {
                    let Output::Send { mut bytes, .. } = output else { continue };
                    let (at, len) = (place % bytes.len(), bytes.len() - cut % 4);
                    let mut broken = bytes.clone();
                    broken[at] = value;
                    let _ = net.nodes[1 - n].handle_packet(addr(9), id(9, 1, 1).process(), &broken[..len], net.now);
                    let _ = net.nodes[1 - n].handle_packet(addr(9), id(9, 1, 1).process(), &bytes, net.now);
                    bytes.clear();
                }
                net.nodes[n].handle_timeout(net.now);
            }
            net.now += Duration::from_millis(100);
        }
    }

    #[test]
    fn of_two_identities_exactly_one_is_kept((a, b) in (any_id(), any_id())) {
        prop_assert_eq!(a.beats(&b), a != b && !b.beats(&a));
    }
}
