use super::*;

/// The blocks of a file: their kind, and what is between their lengths.
fn blocks(mut octets: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut all = Vec::new();
    while !octets.is_empty() {
        let len = word(octets, 4) as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(word(octets, len - 4) as usize, len, "both lengths of a block are one");
        all.push((word(octets, 0), octets[8..len - 4].to_vec()));
        octets = &octets[len..];
    }
    all
}

fn word(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(octets[at..at + 4].try_into().unwrap())
}

/// The options of a block: number and value.
fn options(mut octets: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let [code, len] = [0, 2].map(|at| u16::from_le_bytes(octets[at..at + 2].try_into().unwrap()));
        if code == END {
            assert_eq!((len, octets.len()), (0, 4), "nothing is behind the end");
            return all;
        }
        let len = usize::from(len);
        all.push((code, octets[4..4 + len].to_vec()));
        octets = &octets[4 + len.next_multiple_of(4)..];
    }
}

fn packet(octets: &[u8]) -> Packet<'_> {
    let time = Duration::new(7, 9);
    Packet { interface: InterfaceId(0), time, octets, len: octets.len(), way: None, id: None, comments: &[] }
}

fn file(snap: u32) -> Writer<Vec<u8>> {
    Writer::new(Vec::new(), SnapLen::new(snap).unwrap(), "weft 1").unwrap()
}

#[test]
fn a_file_begins_with_its_section() {
    let all = blocks(&file(96).finish().unwrap());
    let [(SECTION, section)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(word(section, 0), BYTE_ORDER);
    assert_eq!(section[4..8], [1, 0, 0, 0], "version 1.0");
    assert_eq!(section[8..16], [0xff; 8], "the length is not known");
    assert_eq!(options(&section[16..]), [(SECTION_APPLICATION, b"weft 1".to_vec())]);
}

#[test]
fn interfaces_are_ethernet_have_one_snap_length_and_count_nanoseconds() {
    let mut file = file(96);
    let ids = ["port:a", "peer:b"].map(|name| file.interface(name, "what it is").unwrap());
    assert_eq!(ids, [InterfaceId(0), InterfaceId(1)]);
    let all = blocks(&file.finish().unwrap());
    for ((kind, block), name) in all[1..].iter().zip(["port:a", "peer:b"]) {
        assert_eq!((*kind, &block[..4], word(block, 4)), (INTERFACE, &[1, 0, 0, 0][..], 96));
        let expected = [
            (INTERFACE_NAME, name.as_bytes().to_vec()),
            (INTERFACE_DESCRIPTION, b"what it is".to_vec()),
            (INTERFACE_RESOLUTION, vec![9]),
        ];
        assert_eq!(options(&block[8..]), expected);
    }
}

#[test]
fn a_packet_has_its_time_lengths_octets_and_options() {
    let mut file = file(96);
    file.interface("a", "").unwrap();
    let comments = ["dropped: vlan", "of node-b"];
    let of = Packet { len: 300, way: Some(Way::Out), id: Some(77), comments: &comments, ..packet(&[5; 61]) };
    file.packet(&of).unwrap();
    let all = blocks(&file.finish().unwrap());
    let (kind, block) = &all[2];
    assert_eq!(*kind, PACKET);
    let time = (u64::from(word(block, 4)) << 32) | u64::from(word(block, 8));
    assert_eq!((word(block, 0), time), (0, 7_000_000_009));
    assert_eq!((word(block, 12), word(block, 16)), (61, 300));
    assert_eq!((&block[20..81], &block[81..84]), (&[5; 61][..], &[0; 3][..]));
    let expected = [
        (COMMENT, comments[0].as_bytes().to_vec()),
        (COMMENT, comments[1].as_bytes().to_vec()),
        (PACKET_FLAGS, vec![2, 0, 0, 0]),
        (PACKET_ID, vec![77, 0, 0, 0, 0, 0, 0, 0]),
    ];
    assert_eq!(options(&block[84..]), expected);
}

#[test]
fn more_than_the_snap_length_is_left_out() {
    let mut file = file(60);
    file.interface("a", "").unwrap();
    file.packet(&packet(&[5; 100])).unwrap();
    let all = blocks(&file.finish().unwrap());
    assert_eq!((word(&all[2].1, 12), word(&all[2].1, 16)), (60, 100));
    assert_eq!(options(&all[2].1[80..]), []);
}

#[test]
fn every_length_of_octets_and_text_is_padded() {
    let mut file = file(96);
    file.interface("a", "").unwrap();
    let text = "12345";
    for len in 0..=5 {
        let comments = [&text[..len]];
        file.packet(&Packet { comments: &comments, ..packet(&vec![1; len]) }).unwrap();
    }
    let all = blocks(&file.finish().unwrap());
    for (len, (_, block)) in all[2..].iter().enumerate() {
        let expected = [(COMMENT, text.as_bytes()[..len].to_vec())];
        assert_eq!(options(&block[20 + len.next_multiple_of(4)..]), expected);
    }
}

#[test]
fn text_that_no_option_can_hold_is_cut() {
    let mut file = file(96);
    file.interface("a", &"x".repeat(70_000)).unwrap();
    let all = blocks(&file.finish().unwrap());
    let (_, description) = &options(&all[1].1[8..])[1];
    assert_eq!(description.len(), 65_535);
}

#[test]
fn statistics_tell_what_was_seen_and_what_was_lost() {
    let mut file = file(96);
    let interface = file.interface("a", "").unwrap();
    file.statistics(interface, Duration::from_nanos(5), (10, 3)).unwrap();
    let all = blocks(&file.finish().unwrap());
    let (kind, block) = &all[2];
    assert_eq!((*kind, word(block, 0), word(block, 4), word(block, 8)), (STATISTICS, 0, 0, 5));
    let [seen, lost] = [10_u64, 3].map(|n| n.to_le_bytes().to_vec());
    assert_eq!(options(&block[12..]), [(STATISTICS_RECEIVED, seen), (STATISTICS_DROPPED, lost)]);
}

#[test]
fn a_snap_length_has_bounds() {
    assert_eq!(SnapLen::new(262_144), Ok(SnapLen::MAX));
    for given in [0, 262_145] {
        let error = SnapLen::new(given).unwrap_err();
        assert!(error.to_string().contains("from 1 to 262144"), "{error}");
    }
}

#[test]
fn a_block_that_cannot_be_written_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Writer::new(Full, SnapLen::MAX, "weft").map(drop).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
