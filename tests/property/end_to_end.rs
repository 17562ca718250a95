//! A port of one node to a port of another: segment, encapsulate, decode, coalesce.

use encap::vnet::VnetHeader;
use proptest::prelude::*;
use weft_tests::frames::{Packet, is_checksum_valid, wire_frames};

use crate::traffic::{Pair, delivered_frames, formats, packets, stream};

/// Names an octet that differs rather than printing two 64 KiB lists.
fn assert_same(sent: &[Vec<u8>], arrived: &[Vec<u8>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(sent.len(), arrived.len(), "frames sent and arrived");
    for (index, (sent, arrived)) in sent.iter().zip(arrived).enumerate() {
        let differs = sent.iter().zip(arrived).position(|(a, b)| a != b);
        prop_assert_eq!((differs, sent.len()), (None, arrived.len()), "frame {}", index);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_super_frame_arrives_as_it_was(
        packet in packets(65_000), size in 60u16..=1320, format in formats(), outer_v6: bool,
    ) {
        // As the kernel does, at most 128 segments of UDP.
        let most = if packet.udp { usize::from(size) * 128 } else { 65_000 };
        let payload = stream(3, packet.payload.len().min(most).max(1));
        let (vnet, frame) = Packet { payload, ..packet }.super_frame(size);
        let mut pair = Pair::new(format, outer_v6);
        let sent = wire_frames(&vnet, &frame);
        pair.a.read(pair.port, &vnet, &mut frame.clone());
        let delivered = pair.carry();
        assert_same(&sent, &delivered_frames(&delivered))?;
        prop_assert!(sent.iter().all(|frame| is_checksum_valid(frame)));
        prop_assert_eq!(delivered.iter().map(|delivery| delivery.frames).sum::<u64>(), sent.len() as u64);
        for totals in [pair.a.totals(), pair.b.totals()] {
            prop_assert!(totals.balanced() && totals.dropped() == 0);
        }
    }

    #[test]
    fn any_plain_frame_arrives_as_it_was(
        packets in proptest::collection::vec((packets(1300), any::<bool>()), 1..30), format in formats(), outer_v6: bool,
    ) {
        let mut pair = Pair::new(format, outer_v6);
        let mut sent = Vec::new();
        for (packet, unfinished) in packets {
            // One flow, so that all stay in order.
            let packet = Packet { ports: [7, 80], udp: false, v6: false, ..packet };
            let (vnet, mut frame) =
                if unfinished { packet.unfinished() } else { (VnetHeader::default(), packet.plain()) };
            pair.a.read(pair.port, &vnet, &mut frame);
            sent.push(packet.plain());
        }
        assert_same(&sent, &delivered_frames(&pair.carry()))?;
    }

    #[test]
    fn a_long_tcp_run_is_written_in_few_pieces(size in 500u16..=1390, format in formats(), v6: bool) {
        let mut pair = Pair::new(format, false);
        let (vnet, mut frame) = Packet { v6, ..Packet::tcp(stream(0, 60_000)) }.super_frame(size);
        pair.a.read(pair.port, &vnet, &mut frame);
        // A datagram is larger than its segment, so a message of 65,507 octets holds less; runs go across messages.
        prop_assert!(pair.carry().len() <= 2);
    }

    #[test]
    fn what_was_damaged_arrives_as_damaged_and_is_never_vouched_for(
        packet in packets(20_000), size in 200u16..=1320, format in formats(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), 1u8..), 1..5),
    ) {
        let (vnet, frame) = Packet { payload: stream(5, packet.payload.len().max(1)), vlan: None, ..packet.clone() }
            .super_frame(size);
        let mut frames = wire_frames(&vnet, &frame);
        // Behind the IP header, so that what it is and where it goes stays; never the same octet twice.
        let l4 = if packet.v6 { 54 } else { 34 };
        let mut places: Vec<_> = damage
            .iter()
            .map(|(frame, at, mask)| {
                let frame = frame.index(frames.len());
                (frame, l4 + at.index(frames[frame].len() - l4), *mask)
            })
            .collect();
        places.sort_unstable();
        places.dedup_by_key(|(frame, ..)| *frame);
        for &(frame, at, mask) in &places {
            frames[frame][at] ^= mask;
        }
        let mut pair = Pair::new(format, false);
        let mut arrived = Vec::new();
        let mut in_super_frames = Vec::new();
        for frame in &frames {
            pair.a.read(pair.port, &VnetHeader::default(), &mut frame.clone());
        }
        for delivery in pair.carry() {
            let wire = wire_frames(&delivery.vnet, &delivery.frame);
            if delivery.vnet.unfinished.is_some() || delivery.vnet.verified {
                in_super_frames.extend(wire.clone());
            }
            arrived.extend(wire);
        }
        // Identifications that mean nothing (RFC 6864) may be others behind a frame that is missing in a run.
        if packet.dont_fragment && !packet.v6 {
            for frame in frames.iter_mut().chain(&mut arrived).chain(&mut in_super_frames) {
                frame[18..20].fill(0);
                frame[24..26].fill(0); // the header's checksum
            }
        }
        // A damaged port makes another flow, which may overtake.
        let mut sent = frames.clone();
        sent.sort_unstable();
        arrived.sort_unstable();
        assert_same(&sent, &arrived)?;
        for &(frame, ..) in &places {
            prop_assert!(!in_super_frames.contains(&frames[frame]), "frame {} was vouched for", frame);
        }
    }
}
