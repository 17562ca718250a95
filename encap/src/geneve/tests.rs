use proptest::prelude::*;

use super::*;

const VNI: Vni = Vni::from_octets([0xab, 0xcd, 0xef]);

/// A header with these options, then a frame of 14 octets.
fn datagram(options: &[u8]) -> Vec<u8> {
    let mut header = encode(VNI);
    header[0] = u8::try_from(options.len() / 4).unwrap();
    [header.as_slice(), options, &[0; 14]].concat()
}

#[test]
fn encode_is_version_0_without_options_and_says_ethernet() {
    assert_eq!(encode(VNI), [0, 0, 0x65, 0x58, 0xab, 0xcd, 0xef, 0]);
}

#[test]
fn under_8_octets_is_truncated() {
    let datagram = datagram(&[]);
    for len in 0..8 {
        assert_eq!(decode(&datagram[..len]), Err(DecodeError::Truncated { len }));
        assert_eq!(options(&datagram[..len]).unwrap_err(), DecodeError::Truncated { len });
    }
}

#[test]
fn only_version_0_is_read() {
    for version in 1..=3 {
        let mut datagram = datagram(&[]);
        datagram[0] |= version << 6;
        assert_eq!(decode(&datagram), Err(DecodeError::GeneveVersion { version }));
    }
}

#[test]
fn a_control_packet_is_never_a_frame_whatever_else_it_holds() {
    let mut datagram = datagram(&[0xff, 0xff, 0x80, 0]);
    datagram[1] |= 0x80;
    assert_eq!(decode(&datagram), Err(DecodeError::GeneveControl));
    datagram[2] = 0;
    assert_eq!(decode(&datagram), Err(DecodeError::GeneveControl));
}

#[test]
fn only_ethernet_is_carried() {
    for protocol in [0_u16, 0x0800, 0x86dd, 0x6557, 0x6559] {
        let mut datagram = datagram(&[]);
        datagram[2..4].copy_from_slice(&protocol.to_be_bytes());
        assert_eq!(decode(&datagram), Err(DecodeError::GeneveProtocol { protocol }));
    }
}

#[test]
fn reserved_bits_and_an_empty_c_flag_are_ignored() {
    let mut datagram = datagram(&[]);
    datagram[1] = 0x7f;
    datagram[7] = 0xff;
    assert_eq!(decode(&datagram), Ok((VNI, 8)));
}

#[test]
fn options_that_need_not_be_understood_are_skipped() {
    assert_eq!(decode(&datagram(&[1, 2, 1, 1, 9, 9, 9, 9])), Ok((VNI, 16)));
    assert_eq!(
        decode(&datagram(&[1, 2, 1, 0, 1, 2, 2, 0xe0])),
        Ok((VNI, 16)),
        "reserved length bits ignored"
    );
    let longest = [&[1, 2, 1, 31], [0; 124].as_slice()].concat();
    let full = [longest.as_slice(), &[1, 2, 1, 30], &[0; 120]].concat();
    assert_eq!(full.len(), MAX_OPTION_OCTETS);
    assert_eq!(decode(&datagram(&full)), Ok((VNI, 260)));
}

#[test]
fn a_critical_option_is_refused_wherever_it_stands_and_without_the_c_flag() {
    let error = Err(DecodeError::GeneveCritical { class: 0x0102, kind: 0x83 });
    let first = datagram(&[1, 2, 0x83, 0, 1, 2, 1, 0]);
    let second = datagram(&[1, 2, 1, 1, 0, 0, 0, 0, 1, 2, 0x83, 0]);
    for mut datagram in [first, second] {
        assert_eq!(decode(&datagram), error);
        datagram[1] = 0x40;
        assert_eq!(decode(&datagram), error);
    }
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    let option_beyond_list = datagram(&[1, 2, 1, 2, 0, 0, 0, 0]);
    assert_eq!(decode(&option_beyond_list), Err(DecodeError::GeneveOptions { octets: 12, available: 8 }));
    let mut list_beyond_datagram = datagram(&[]);
    list_beyond_datagram[0] = 0x3f;
    assert_eq!(decode(&list_beyond_datagram), Err(DecodeError::GeneveOptions { octets: 252, available: 14 }));
}

#[test]
fn a_frame_under_14_octets_is_a_runt_with_and_without_options() {
    for list in [[].as_slice(), &[1, 2, 1, 0]] {
        let datagram = datagram(list);
        let header = 8 + list.len();
        for len in 0..14 {
            assert_eq!(decode(&datagram[..header + len]), Err(DecodeError::Runt { len }));
        }
        assert_eq!(decode(&datagram), Ok((VNI, header)));
    }
}

#[test]
fn the_iterator_ends_after_its_first_error() {
    let datagram = datagram(&[1, 2, 1, 0, 1, 2, 0x81, 9]);
    let mut options = options(&datagram).unwrap();
    let first = GeneveOption { class: 0x0102, kind: 1, critical: false, data: &[] };
    assert_eq!(options.next(), Some(Ok(first)));
    assert_eq!(options.next(), Some(Err(DecodeError::GeneveOptions { octets: 40, available: 4 })));
    assert_eq!(options.next(), None);
    assert_eq!(options.next(), None);
}

proptest! {
    #[test]
    fn options_written_are_options_read(
        list in prop::collection::vec((any::<u16>(), any::<u8>(), 0_u8..=8), 0..=7),
    ) {
        let mut octets = Vec::new();
        for (class, kind, words) in &list {
            octets.extend_from_slice(&class.to_be_bytes());
            octets.extend_from_slice(&[*kind, *words]);
            octets.resize(octets.len() + usize::from(*words) * 4, *kind);
        }
        let datagram = datagram(&octets);
        let read: Vec<_> = options(&datagram).unwrap().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), list.len());
        for (option, (class, kind, words)) in read.iter().zip(&list) {
            prop_assert_eq!((option.class, option.kind), (*class, *kind));
            prop_assert_eq!(option.critical, kind & 0x80 != 0);
            prop_assert_eq!(option.data, vec![*kind; usize::from(*words) * 4]);
        }
        let critical = list.iter().find(|(_, kind, _)| kind & 0x80 != 0);
        prop_assert_eq!(decode(&datagram), match critical {
            Some(&(class, kind, _)) => Err(DecodeError::GeneveCritical { class, kind }),
            None => Ok((VNI, 8 + octets.len())),
        });
    }
}
