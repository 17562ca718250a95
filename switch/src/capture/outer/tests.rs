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
        write(ends, 0xb9, 30, &mut out);
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
