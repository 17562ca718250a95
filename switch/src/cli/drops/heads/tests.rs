use encap::{Format, Vni, tunnel};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;

fn frame() -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5][..], &[0; 46]].concat()
}

fn head(at: &str, octets: &[u8], datagram: Option<DatagramHead>) -> DropHead {
    DropHead {
        age_us: 3_500_000,
        direction: "inbound".to_owned(),
        at: at.to_owned(),
        datagram,
        frames: 2,
        len: octets.len() as u64,
        octets: octets.iter().map(|octet| format!("{octet:02x}")).collect(),
    }
}

fn of_peer() -> DropHead {
    let (peer, own) = ([10, 0, 0, 2].into(), Some([10, 0, 0, 1].into()));
    let datagram = DatagramHead { format: Format::Vxlan, peer, own, port: 4789 };
    let octets = [&tunnel::encode(Format::Vxlan, Vni::new(100).unwrap())[..], &frame()].concat();
    head("peer:node-b", &octets, Some(datagram))
}

fn heads(reason: &str, entries: Vec<DropHead>) -> DropHeads {
    DropHeads { reason: reason.to_owned(), sentence: "Why.".to_owned(), entries, silent_workers: 0 }
}

#[test]
fn each_is_a_line_with_its_place_and_headers() {
    let text = render(&heads("vlan", vec![head("port:web", &frame(), None), of_peer()]));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "vlan: Why.");
    assert!(lines[3].starts_with("3s   inbound  port:web     2       02:00:00:00:00:01 > "), "{text}");
    assert!(lines[4].contains("vxlan vni 100 | 02:00:00:00:00:01 > "), "{text}");
    assert!(render(&heads("vlan", vec![])).contains("Nothing was dropped for vlan"));
}

#[test]
fn workers_that_did_not_answer_are_told_whether_others_did_or_not() {
    for entries in [vec![], vec![of_peer()]] {
        let all = heads("vlan", entries);
        assert!(!render(&all).contains("did not answer"));
        let text = render(&DropHeads { silent_workers: 2, ..all });
        assert!(text.contains("\n2 workers did not answer within half a second"), "{text}");
    }
}

/// The packets of a file: interface, length on the wire, octets, and what is behind.
fn packets(file: &[u8]) -> Vec<(u32, u32, Vec<u8>, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut all) = (0, Vec::new());
    while at < file.len() {
        let len = word(at + 4) as usize;
        if word(at) == 6 {
            let end = at + 28 + word(at + 20) as usize;
            let octets = file[at + 28..end].to_vec();
            all.push((word(at + 8), word(at + 24), octets, file[end..at + len].to_vec()));
        }
        at += len;
    }
    all
}

fn contains(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_file_has_an_interface_for_each_place_and_headers_before_datagrams() {
    let mut file = Vec::new();
    let entries = vec![head("port:web", &frame(), None), of_peer(), head("port:web", &frame(), None)];
    write(&heads("vlan", entries), Duration::from_secs(1000), &mut file).unwrap();
    let packets = packets(&file);
    let places: Vec<_> = packets.iter().map(|(interface, len, ..)| (*interface, *len)).collect();
    assert_eq!(places, [(0, 60), (1, 14 + 20 + 8 + 8 + 60), (0, 60)]);
    assert!(contains(&file, "port:web") && contains(&file, "peer:node-b"));
    let (_, _, datagram, options) = &packets[1];
    assert!(contains(options, "dropped, frames: 2, reason: vlan: Why."));
    let outer = SlicedPacket::from_ethernet(datagram).unwrap();
    let Some(NetSlice::Ipv4(ip)) = &outer.net else { panic!("{outer:?}") };
    assert_eq!(ip.header().source_addr().octets(), [10, 0, 0, 2]);
    let Some(TransportSlice::Udp(udp)) = &outer.transport else { panic!("{outer:?}") };
    assert_eq!(udp.destination_port(), 4789);
}

#[test]
fn what_could_not_be_sent_was_on_its_way_to_the_peer_and_what_no_port_was_there_for_came_from_it() {
    for (reason, is_to_peer) in [("send_error", true), ("tap_gone", false), ("vlan", false)] {
        let mut file = Vec::new();
        write(&heads(reason, vec![of_peer()]), Duration::from_secs(1000), &mut file).unwrap();
        let (_, _, datagram, options) = &packets(&file)[0];
        let outer = SlicedPacket::from_ethernet(datagram).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &outer.net else { panic!("{outer:?}") };
        assert_eq!(ip.header().destination_addr().octets() == [10, 0, 0, 2], is_to_peer, "{reason}");
        // epb_flags of 4 octets: 1 = inbound, 2 = outbound.
        let flags = [2, 0, 4, 0, if is_to_peer { 2 } else { 1 }];
        assert!(options.windows(5).any(|window| window == flags), "{reason}: {options:?}");
    }
    assert_eq!(way("tap_gone", &head("port:web", &frame(), None)), Way::Out);
}

#[test]
fn a_file_of_nothing_has_an_interface_and_one_that_was_open_to_all_is_so_no_more() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.pcapng");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    crate::cli::drops::write(&heads("vlan", vec![]), &path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = std::fs::read(&path).unwrap();
    assert!(packets(&file).is_empty() && contains(&file, "nothing was dropped"));
}

#[test]
fn digits_that_are_none_end_the_octets() {
    let broken = DropHead { octets: "0102zz03".to_owned(), ..head("port:web", &[], None) };
    assert_eq!(octets(&broken), [1, 2]);
}
