//! Answers about what was dropped last.

use std::net::IpAddr;
use std::time::Instant;

use encap::Format;

use crate::capture::record::Point;
use crate::capture::text::Names;
use crate::control::Control;
use crate::control::config::PeerAddress;
use crate::control::devices::Devices;
use crate::control::protocol::{DatagramHead, DropHead, DropHeads, ErrorReply, Reply};
use crate::control::requests::no_such;
use crate::counters::{Direction, DropReason};
use crate::heads::Head;

impl<D: Devices> Control<D> {
    pub(in crate::control) fn drop_heads(&mut self, reason: &str, now: Instant) -> Result<Reply, ErrorReply> {
        let Some(&reason) = DropReason::ALL.iter().find(|known| known.name() == reason) else {
            let names = DropReason::ALL.iter().map(|known| known.name());
            return Err(no_such("drop reason", reason, names, "weft drops --all"));
        };
        let told = self.devices.drop_heads(reason);
        Ok(Reply::DropHeads(DropHeads {
            reason: reason.name().to_owned(),
            sentence: reason.sentence().to_owned(),
            entries: told.heads.iter().map(|head| self.drop_head(head, now)).collect(),
            silent_workers: told.silent,
        }))
    }

    fn drop_head(&self, head: &Head, now: Instant) -> DropHead {
        let age = now.saturating_duration_since(head.at);
        let at = match head.point {
            Point::Port(id) => {
                let name = self.port_by_id(id).map_or_else(|| id.to_string(), |(name, _)| name.to_owned());
                format!("port:{name}")
            }
            Point::Peer(ip) => self.name_at(ip),
            other => Names::default().of(other).into_owned(),
        };
        let datagram = match (head.point, head.tunnel) {
            (Point::Peer(peer), Some(format)) => Some(self.datagram_head(peer, format)),
            _ => None,
        };
        DropHead {
            age_us: u64::try_from(age.as_micros()).unwrap_or(u64::MAX),
            direction: match head.direction {
                Direction::Inbound => "inbound".to_owned(),
                Direction::Outbound => "outbound".to_owned(),
            },
            at,
            datagram,
            frames: head.frames,
            len: head.len as u64,
            octets: head.octets().iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }

    fn datagram_head(&self, peer: IpAddr, format: Format) -> DatagramHead {
        let own = self.addresses.iter().copied().find(|own| own.is_ipv4() == peer.is_ipv4());
        let port = match format {
            Format::Vxlan => self.config.underlay.vxlan_port,
            Format::Geneve => self.config.underlay.geneve_port,
        };
        DatagramHead { format, peer, own, port }
    }

    /// Who is at an address of the underlay, by the name that metrics and captures give it.
    fn name_at(&self, ip: IpAddr) -> String {
        if let Some((node, member)) = self.gossip.as_ref().and_then(|gossip| gossip.by_ip(ip)) {
            return format!("peer:{}", member.name(node));
        }
        let is_at = |address: PeerAddress| match address {
            PeerAddress::Host(host) => host == ip,
            PeerAddress::Prefix(net) => net.contains(&ip),
        };
        let mut peers = self.peers.iter().map(|peer| peer.config.address);
        let mut shared = self.gossip.iter().flat_map(|gossip| gossip.shared.keys());
        match peers.find(|address| is_at(*address)) {
            Some(address) => format!("peer:{address}"),
            None if shared.any(|vtep| vtep.ip() == ip) => format!("peer:{ip}"),
            None => format!("stranger:{ip}"),
        }
    }
}
