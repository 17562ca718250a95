use etherparse::SlicedPacket;
use etherparse::{NetSlice, TransportSlice};

use super::*;

#[test]
fn headers_are_those_of_the_datagram_in_both_versions() {
    for (from, to, len) in
        [("10.0.0.1:50000", "10.0.0.2:4789", 42), ("[fd00::1]:50000", "[fd00::2]:6081", 62)]
    {
        let ends: (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let mut out = Vec::new();
        write(ends, 0xb9, ([&[7; 30][..]], 30), &mut out);
        assert_eq!(out.len(), len);
        out.extend_from_slice(&[7; 30]);
        let packet = SlicedPacket::from_ethernet(&out).unwrap();
        match packet.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                assert_eq!(header.source_addr(), ends.0.ip());
                assert_eq!(header.destination_addr(), ends.1.ip());
                assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                assert_eq!((header.slice()[1], header.dont_fragment()), (0xb9, true));
            }
            NetSlice::Ipv6(ip) => {
                assert_eq!(ip.header().source_addr(), ends.0.ip());
                assert_eq!(ip.header().destination_addr(), ends.1.ip());
                assert_eq!(ip.header().traffic_class(), 0xb9);
            }
            other => panic!("{other:?}"),
        }
        let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP") };
        assert_eq!((udp.source_port(), udp.destination_port()), (ends.0.port(), ends.1.port()));
        assert_eq!((udp.length(), udp.payload()), (38, &[7; 30][..]));
    }
}

#[test]
fn over_ipv6_the_udp_checksum_is_right_however_the_payload_is_cut_into_pieces_and_never_0() {
    let ends: (SocketAddr, SocketAddr) =
        ("[fd00::1]:50000".parse().unwrap(), "[fd00::2]:6081".parse().unwrap());
    let payload: Vec<u8> = (0..=255).cycle().skip(9).take(301).collect();
    let field = |out: &[u8]| u16::from_be_bytes([out[MAX_LEN - 2], out[MAX_LEN - 1]]);
    for cut in [0, 1, 2, 150, 151, 301] {
        let mut out = Vec::new();
        let (front, back) = payload.split_at(cut);
        write(ends, 0, ([front, back], payload.len()), &mut out);
        let sum = field(&out);
        out.extend_from_slice(&payload);
        let packet = SlicedPacket::from_ethernet(&out).unwrap();
        let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
        else {
            panic!("no UDP over IPv6")
        };
        let right = udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), &payload).unwrap();
        assert_eq!(sum, right, "cut at {cut}");
    }
    // A payload that makes the sum 0, and one of which a part is missing.
    let mut out = Vec::new();
    write(ends, 0, ([&[0; 2][..]], 2), &mut out);
    let zero = field(&out).to_be_bytes();
    for (payload, len) in [(&zero[..], 2), (&payload[..100], 301)] {
        out.clear();
        write(ends, 0, ([payload], len), &mut out);
        assert_eq!(field(&out), 0xffff);
    }
}
