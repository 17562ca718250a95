use proptest::prelude::*;

use super::*;
use crate::testing::{self, Packet};
use crate::vnet::Unfinished;

const ACK: u8 = 0x10;
const MSS_1460: [u8; 4] = [2, 4, 5, 180];

fn mtu(octets: u32) -> Mtu {
    Mtu::new(octets).unwrap()
}

fn clamp(frame: &mut [u8], octets: u32) -> bool {
    let layers = Layers::of(frame);
    super::clamp(frame, &layers, None, mtu(octets))
}

fn syn(v6: bool, options: &[u8]) -> Vec<u8> {
    Packet { v6, ..Packet::tcp(SYN, options, 0) }.frame()
}

/// The MSS of a frame whose first option it is.
fn mss(frame: &[u8]) -> u16 {
    let at = Layers::of(frame).l4 + 22;
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

#[test]
fn the_mss_of_a_syn_and_of_its_answer_is_what_fits() {
    for (v6, flags, fits) in [(false, SYN, 1190), (true, SYN, 1170), (false, SYN | ACK, 1190)] {
        let mut frame = Packet { v6, tags: 1, ..Packet::tcp(flags, &MSS_1460, 0) }.frame();
        assert!(clamp(&mut frame, 1230));
        assert_eq!(mss(&frame), fits);
        assert!(testing::is_valid(&frame));
        assert!(!clamp(&mut frame, 1230), "once is enough");
    }
}

#[test]
fn it_is_never_raised() {
    for path in [1500, 9000, 65_535] {
        let mut frame = syn(false, &MSS_1460);
        assert!(!clamp(&mut frame, path));
        assert_eq!(frame, syn(false, &MSS_1460));
    }
}

#[test]
fn it_is_not_lowered_below_the_floor() {
    for (v6, path) in [(false, 68), (true, 68), (false, 127)] {
        let mut frame = syn(v6, &MSS_1460);
        assert!(clamp(&mut frame, path));
        assert_eq!(mss(&frame), FLOOR);
    }
    let mut small = syn(false, &[2, 4, 0, 60]);
    assert!(!clamp(&mut small, 68), "one that is smaller stays");
}

#[test]
fn other_segments_and_options_are_left_alone() {
    let frames = [
        Packet::tcp(ACK, &MSS_1460, 0).frame(),
        syn(false, &[]),
        syn(false, &[3, 3, 7, 1]),
        syn(false, &[2, 3, 5, 180]),
        syn(false, &[2, 6, 5, 180, 0, 0, 1, 1]),
        syn(false, &[8, 1, 2, 4, 5, 180, 1, 1]),
        syn(false, &[8, 99, 2, 4, 5, 180, 1, 1]),
        syn(false, &[1, 1, 2, 4]),
        syn(false, &[0, 0, 0, 0, 2, 4, 5, 180]),
        Packet { fragment: testing::MF, ..Packet::tcp(SYN, &MSS_1460, 0) }.frame(),
        Packet::udp(40).frame(),
        vec![],
    ];
    for before in frames {
        let mut frame = before.clone();
        assert!(!clamp(&mut frame, 576), "{before:x?}");
        assert_eq!(frame, before);
    }
}

#[test]
fn a_checksum_that_was_left_to_a_nic_is_right_when_it_is_finished() {
    for options in [&MSS_1460[..], &[1, 2, 4, 5, 180, 1, 1, 1]] {
        let mut frame = syn(true, options);
        testing::leave_unfinished(&mut frame);
        let layers = Layers::of(&frame);
        let unfinished = Unfinished { start: u16::try_from(layers.l4).unwrap(), offset: 16 };
        assert!(super::clamp(&mut frame, &layers, Some(unfinished), mtu(1280)));
        crate::segment::finish_checksum(&mut frame, unfinished);
        assert!(testing::is_valid(&frame));
    }
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let mut frame = syn(false, &MSS_1460);
    frame[50] ^= 1;
    assert!(clamp(&mut frame, 1000));
    assert!(!testing::is_valid(&frame));
}

proptest! {
    #[test]
    fn nothing_but_the_option_and_the_checksum_changes(
        v6: bool, old: u16, path in 68u32..=65_535, fill in 0usize..8, timestamp: [u8; 8],
    ) {
        let [high, low] = old.to_be_bytes();
        let mut options = [&[8, 10][..], &timestamp, &vec![1; fill], &[2, 4, high, low]].concat();
        options.resize(options.len().next_multiple_of(4), 0);
        let before = syn(v6, &options);
        let mut frame = before.clone();
        let fits = u16::try_from(path.saturating_sub(if v6 { 60 } else { 40 })).unwrap().max(FLOOR);
        prop_assert_eq!(clamp(&mut frame, path), old > fits);
        prop_assert!(testing::is_valid(&frame));
        let at = Layers::of(&frame).l4 + 20 + 10 + fill + 2;
        prop_assert_eq!(&frame[at..at + 2], &old.min(fits).to_be_bytes());
        let sum = Layers::of(&frame).l4 + CHECKSUM;
        for place in [at, sum] {
            frame[place..place + 2].copy_from_slice(&before[place..place + 2]);
        }
        prop_assert_eq!(frame, before);
    }

    #[test]
    fn any_options_keep_the_length_and_the_checksum(list in proptest::collection::vec(0u8..10, 0..=40), path in 68u32..300) {
        let mut options = list;
        options.truncate(options.len() & !3);
        let mut frame = syn(false, &options);
        let len = frame.len();
        clamp(&mut frame, path);
        prop_assert_eq!(frame.len(), len);
        prop_assert!(testing::is_valid(&frame));
    }
}
