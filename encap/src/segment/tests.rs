use super::*;
use crate::coalesce::{Coalescer, Offload};
use crate::testing::{self, Packet, pattern};
use proptest::prelude::*;

/// What a pod's kernel would hand over, as a test describes it.
#[derive(Clone, Debug)]
struct Shape {
    v6: bool,
    udp: bool,
    tagged: bool,
    options: usize,
    size: u16,
    payload: Vec<u8>,
    id: u16,
    sequence: u32,
    flags: u8,
}

impl Shape {
    fn build(&self) -> (Vec<u8>, VnetHeader) {
        let mut frame = vec![2; 12];
        if self.tagged {
            frame.extend([0x81, 0, 0, 5]);
        }
        let l4_len = if self.udp { 8 } else { 20 + self.options * 4 };
        let l3 = frame.len() + 2;
        let length = u16::try_from(l4_len + self.payload.len()).unwrap();
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 1]);
            frame.extend(length.to_be_bytes());
            frame.extend([if self.udp { UDP } else { TCP }, 64]);
            frame.extend([0xfd; 32]);
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend(self.id.to_be_bytes());
            frame.extend([0, 0, 64, if self.udp { UDP } else { TCP }, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let sum = Sum::of(&frame[l3..]).complement();
            frame[l3 + 10..l3 + 12].copy_from_slice(&sum);
        }
        let l4 = frame.len();
        frame.extend([0x30, 0x39, 0, 80]);
        if self.udp {
            frame.extend(length.to_be_bytes());
            frame.extend([0, 0]);
        } else {
            frame.extend(self.sequence.to_be_bytes());
            frame.extend([
                1,
                2,
                3,
                4,
                u8::try_from(5 + self.options).unwrap() << 4,
                self.flags,
                5,
                6,
                0,
                0,
                0,
                0,
            ]);
            frame.extend(std::iter::repeat_n(1, self.options * 4));
        }
        let header_len = u16::try_from(frame.len()).unwrap();
        frame.extend(&self.payload);
        let (offset, protocol) = if self.udp { (6, UDP) } else { (16, TCP) };
        let layers = Layers::of(&frame);
        let pseudo =
            Sum::of(layers.address_octets(&frame)).and_u16(u16::from(protocol)).and_u16(length).fold();
        frame[l4 + offset..l4 + offset + 2].copy_from_slice(&pseudo);
        let gso = match (self.udp, self.v6) {
            (true, _) => Gso::Udp,
            (_, true) => Gso::TcpV6,
            _ => Gso::TcpV4,
        };
        let unfinished =
            Some(Unfinished { start: u16::try_from(l4).unwrap(), offset: u16::try_from(offset).unwrap() });
        (frame, VnetHeader { gso: Some((gso, self.size)), unfinished, verified: false, header_len })
    }
}

fn cut(frame: &[u8], header: &VnetHeader) -> Vec<Vec<u8>> {
    let whole = SuperFrame::new(frame, header).expect("a frame that can be cut");
    (0..whole.segments()).map(|index| whole.segment(index)).collect()
}

fn is_checksum_valid(frame: &[u8]) -> bool {
    let layers = Layers::of(frame);
    let l4 = &frame[layers.l4..layers.end];
    let ip = layers.net == Net::V6 || Sum::of(&frame[layers.l3..layers.l4]).is_valid();
    let pseudo = Sum::of(layers.address_octets(frame)).and_u16(u16::from(layers.transport));
    ip && pseudo.and_u16(u16::try_from(l4.len()).unwrap()).and(l4).is_valid()
}

fn shapes() -> impl Strategy<Value = Shape> {
    let flags = prop_oneof![Just(0x10u8), Just(0x18)];
    let payload = (1usize..9000, any::<u8>())
        .prop_map(|(len, seed)| (0..len).map(|i| (i % 251) as u8 ^ seed).collect::<Vec<u8>>());
    (any::<[bool; 3]>(), 0usize..=10, 80u16..1460, payload, any::<u16>(), any::<u32>(), flags).prop_map(
        |([v6, udp, tagged], options, size, payload, id, sequence, flags)| Shape {
            v6,
            udp,
            tagged,
            options,
            size,
            payload,
            id,
            sequence,
            flags,
        },
    )
}

proptest! {
    #[test]
    fn segments_carry_the_payload_and_right_checksums(shape in shapes()) {
        let (frame, header) = shape.build();
        let segments = cut(&frame, &header);
        let mut payload: Vec<u8> = Vec::new();
        for segment in &segments {
            prop_assert!(is_checksum_valid(segment));
            let layers = Layers::of(segment);
            prop_assert_eq!(layers.end, segment.len());
            prop_assert!(segment.len() - layers.payload(segment) <= usize::from(shape.size));
            payload.extend(&segment[layers.payload(segment)..]);
        }
        prop_assert_eq!(payload, shape.payload);
    }

    #[test]
    fn coalescing_gives_back_what_was_cut(shape in shapes()) {
        let (frame, header) = shape.build();
        let segments = cut(&frame, &header);
        prop_assume!(segments.len() <= crate::coalesce::MAX_PIECES);
        let mut buffer = Vec::new();
        let mut coalescer = Coalescer::new(Offload { tcp: true, udp: true });
        let spans: Vec<_> = segments.iter().map(|segment| {
            buffer.extend([0xee; 8]); // a tunnel header lies between
            buffer.extend(segment);
            Span::new(buffer.len() - segment.len(), segment.len())
        }).collect();
        for span in spans {
            coalescer.push(1, &buffer, span, &Layers::of(span.of(&buffer)));
        }
        let writes = coalescer.finish();
        prop_assert_eq!(writes.len(), 1);
        let mut whole = writes[0].head().to_vec();
        writes[0].pieces().iter().for_each(|piece| whole.extend(piece.of(&buffer)));
        if segments.len() == 1 {
            prop_assert_eq!(&whole, &segments[0]);
            prop_assert!(writes[0].vnet().verified);
        } else {
            prop_assert_eq!(&whole, &frame);
            prop_assert_eq!(writes[0].vnet(), &header);
            prop_assert_eq!(writes[0].frames() as usize, segments.len());
        }
    }

    #[test]
    fn any_header_before_any_octets_is_refused_or_cut(
        octets in proptest::collection::vec(any::<u8>(), 0..200), raw in any::<[u8; 10]>(), kind in 0usize..3,
    ) {
        let mut frame = octets;
        if frame.len() > 20 && kind < 2 {
            frame[12..15].copy_from_slice([[8, 0, 0x45], [0x86, 0xdd, 0x60]][kind].as_slice());
        }
        if let Ok(header) = VnetHeader::decode(&raw) {
            if let Ok(whole) = SuperFrame::new(&frame, &header) {
                for index in 0..whole.segments() {
                    prop_assert_eq!(whole.segment(index).len(), whole.segment_len(index));
                }
            }
            if let Some(unfinished) = header.unfinished {
                finish_checksum(&mut frame, unfinished);
            }
        }
    }
}

fn tcp(flags: u8) -> Shape {
    Shape {
        v6: false,
        udp: false,
        tagged: false,
        options: 3,
        size: 1000,
        payload: vec![7; 2500],
        id: 0xffff,
        sequence: u32::MAX - 500,
        flags,
    }
}

#[test]
fn fin_and_psh_are_on_the_last_segment_and_cwr_on_the_first() {
    let (frame, header) = tcp(FIN | PSH | CWR | 0x10).build();
    let flags: Vec<u8> = cut(&frame, &header).iter().map(|s| s[34 + 13]).collect();
    assert_eq!(flags, [CWR | 0x10, 0x10, FIN | PSH | 0x10]);
}

#[test]
fn identification_and_sequence_advance_and_wrap() {
    let (frame, header) = tcp(0x10).build();
    let segments = cut(&frame, &header);
    let ids: Vec<_> = segments.iter().map(|s| u16::from_be_bytes([s[18], s[19]])).collect();
    assert_eq!(ids, [0xffff, 0, 1]);
    let sequences: Vec<_> =
        segments.iter().map(|s| u32::from_be_bytes([s[38], s[39], s[40], s[41]])).collect();
    assert_eq!(sequences, [u32::MAX - 500, 499, 1499]);
}

#[test]
fn a_finished_checksum_is_right_also_where_udp_would_be_zero() {
    let (mut frame, header) = tcp(0x10).build();
    finish_checksum(&mut frame, header.unfinished.unwrap());
    assert!(is_checksum_valid(&frame));
    // A UDP datagram whose sum comes out as zero is sent as ones.
    let mut shape = Shape { udp: true, payload: vec![0, 0], ..tcp(0) };
    for word in 0..=u16::MAX {
        shape.payload = word.to_be_bytes().to_vec();
        let (mut frame, header) = shape.build();
        finish_checksum(&mut frame, header.unfinished.unwrap());
        assert_ne!(frame[34 + 6..34 + 8], [0, 0]);
    }
}

#[test]
fn a_plain_frame_is_no_super_frame() {
    let (frame, header) = tcp(0x10).build();
    let refused = |header: VnetHeader| SuperFrame::new(&frame, &header).unwrap_err();
    assert_eq!(refused(VnetHeader { gso: None, ..header }), SegmentError::NoSize);
    assert_eq!(refused(VnetHeader { gso: Some((Gso::TcpV4, 0)), ..header }), SegmentError::NoSize);
    assert_eq!(refused(VnetHeader { gso: Some((Gso::TcpV6, 9)), ..header }), SegmentError::Headers);
    assert_eq!(refused(VnetHeader { gso: Some((Gso::TcpV4, 1)), ..header }), SegmentError::TooMany(2500));
}

proptest! {
    #[test]
    fn a_tcp_super_frame_cut_smaller_is_as_if_the_pod_had_asked_for_it(shape in shapes(), packet in 0usize..1600) {
        let (frame, header) = shape.build();
        let whole = SuperFrame::new(&frame, &header).unwrap();
        let headers = whole.head_len() - Layers::of(&frame).l3;
        let fits = whole.segment_len(0) - whole.head_len() + headers <= packet;
        match whole.fitting(packet) {
            Some(cut) if fits => prop_assert_eq!(cut.segment(0), whole.segment(0), "unchanged"),
            Some(cut) => {
                prop_assert!(!shape.udp);
                let size = u16::try_from(packet - headers).unwrap();
                let asked = VnetHeader { gso: header.gso.map(|(gso, _)| (gso, size)), ..header };
                let asked = SuperFrame::new(&frame, &asked).unwrap();
                prop_assert_eq!(cut.segments(), asked.segments());
                for index in 0..cut.segments() {
                    prop_assert_eq!(cut.segment(index), asked.segment(index));
                }
            }
            None if shape.udp => prop_assert!(!fits),
            None => prop_assert!(packet <= headers || shape.payload.len() > MAX_SEGMENTS * (packet - headers)),
        }
    }

    #[test]
    fn a_plain_tcp_frame_that_is_cut_carries_the_same(
        v6: bool, tags in 0usize..3, sack: bool, flags in any::<u8>(), len in 1usize..3000, packet in 200usize..1500,
        unfinished: bool,
    ) {
        let options = if sack { &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2][..] } else { &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] };
        let flags = flags & (ACK | PSH | FIN | ECE);
        let mut frame = Packet { v6, tags, ..Packet::tcp(flags, options, len) }.frame();
        let layers = Layers::of(&frame);
        let left = unfinished.then(|| {
            testing::leave_unfinished(&mut frame);
            Unfinished { start: u16::try_from(layers.l4).unwrap(), offset: 16 }
        });
        frame.extend([0xee; 3]);
        let whole = SuperFrame::of_plain(&frame, &layers, left).expect("it can be cut");
        prop_assert_eq!(whole.segments(), 1);
        let cut = whole.fitting(packet).expect("room for payload");
        let segments: Vec<_> = (0..cut.segments()).map(|index| cut.segment(index)).collect();
        let mut payload: Vec<u8> = Vec::new();
        for segment in &segments {
            let layers = Layers::of(segment);
            prop_assert!(testing::is_valid(segment) && layers.end - layers.l3 <= packet);
            prop_assert_eq!(segment[layers.l4 + 13] & (ACK | ECE), flags & (ACK | ECE));
            payload.extend(&segment[layers.payload(segment)..]);
        }
        prop_assert_eq!(payload, pattern(len));
        let last = &segments[segments.len() - 1];
        prop_assert_eq!(last[layers.l4 + 13], flags, "FIN and PSH come last");
    }

    #[test]
    fn any_octets_are_cut_as_a_plain_frame_or_not(
        octets in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..3, start: u16, packet in 0usize..200,
    ) {
        let mut frame = octets;
        if frame.len() > 24 && kind < 2 {
            frame[12..15].copy_from_slice([[8, 0, 0x45], [0x86, 0xdd, 0x60]][kind].as_slice());
            frame[23] = TCP;
        }
        let unfinished = Some(Unfinished { start: start % 60, offset: 16 });
        for unfinished in [None, unfinished] {
            let whole = SuperFrame::of_plain(&frame, &Layers::of(&frame), unfinished);
            if let Some(cut) = whole.and_then(|whole| whole.fitting(packet)) {
                prop_assert!(cut.segment(0).len() - Layers::of(&frame).l3 <= packet);
            }
        }
    }
}

/// Whether a plain frame may be cut.
fn is_cut(frame: &[u8]) -> bool {
    SuperFrame::of_plain(frame, &Layers::of(frame), None).is_some()
}

#[test]
fn a_plain_frame_is_cut_only_where_its_receiver_cannot_tell() {
    let right = || Packet::tcp(ACK, &[], 1000);
    assert!(is_cut(&right().frame()));
    for flag in [0x02, 0x04, 0x20, CWR] {
        assert!(!is_cut(&Packet::tcp(ACK | flag, &[], 1000).frame()), "flag {flag:#x}");
    }
    let mut reserved = right();
    reserved.data[12] |= 1;
    assert!(!is_cut(&reserved.frame()));
    assert!(!is_cut(&Packet::tcp(ACK, &[], 0).frame()), "no payload");
    assert!(!is_cut(&Packet::udp(1000).frame()));
    assert!(!is_cut(&Packet { fragment: testing::MF, ..right() }.frame()));
    assert!(!is_cut(&Packet { ip_options: vec![1; 4], ..right() }.frame()));
    assert!(!is_cut(&[]));
}

#[test]
fn a_plain_frame_with_an_option_that_is_its_own_is_not_cut() {
    let is_cut = |options: &[u8]| {
        let mut options = options.to_vec();
        options.resize(options.len().next_multiple_of(4), 1);
        is_cut(&Packet::tcp(ACK, &options, 1000).frame())
    };
    assert!(is_cut(&[8, 10, 0, 0, 0, 0, 0, 0, 0, 0]) && is_cut(&[5, 10, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert!(is_cut(&[1, 1, 1, 0]), "fill and end");
    for kind in [2, 3, 4, 19, 29, 30, 34, 253] {
        assert!(!is_cut(&[kind, 4, 0, 0]), "kind {kind}");
        assert!(!is_cut(&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, kind, 4, 0, 0]), "kind {kind} later");
    }
    assert!(!is_cut(&[8, 1, 0, 0]) && !is_cut(&[8, 9, 0, 0]), "lengths that do not add up");
}

#[test]
fn a_plain_frame_that_is_corrupt_is_not_made_right() {
    for v6 in [false, true] {
        let mut frame = Packet { v6, ..Packet::tcp(ACK, &[], 1000) }.frame();
        let (layers, last) = (Layers::of(&frame), frame.len() - 1);
        for at in (layers.l4..last).step_by(97).chain([last, layers.l3 + 8]) {
            frame[at] ^= 0x10;
            assert!(!is_cut(&frame), "octet {at}");
            frame[at] ^= 0x10;
        }
        assert!(is_cut(&frame));

        testing::leave_unfinished(&mut frame);
        let unfinished = |start, offset| {
            SuperFrame::of_plain(&frame, &layers, Some(Unfinished { start, offset })).is_some()
        };
        let l4 = u16::try_from(layers.l4).unwrap();
        assert!(unfinished(l4, 16));
        assert!(!unfinished(l4, 6) && !unfinished(l4 - 20, 16), "of something else");
        assert!(!is_cut(&frame), "as if it were finished");
        let mut wrong = frame.clone();
        wrong[layers.l4 + 16] ^= 1;
        let whole = SuperFrame::of_plain(&wrong, &layers, Some(Unfinished { start: l4, offset: 16 }));
        assert!(whole.is_none(), "a wrong sum of the pseudo-header");
    }
}

#[test]
fn no_super_frame_is_cut_into_more_segments_than_any_kernel_makes() {
    let (frame, header) = Shape { payload: vec![7; MAX_SEGMENTS * 8 + 1], options: 0, ..tcp(ACK) }.build();
    let whole = SuperFrame::new(&frame, &header).unwrap();
    assert_eq!(whole.fitting(40 + 9).map(|cut| cut.segments()), Some((MAX_SEGMENTS * 8 + 1).div_ceil(9)));
    assert!(whole.fitting(40 + 8).is_none() && whole.fitting(40).is_none() && whole.fitting(0).is_none());
}
