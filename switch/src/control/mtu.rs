//! Which MTU ports and peers get. The sums themselves are [`encap::tunnel::Overhead`]'s.

use std::net::IpAddr;

use encap::Mtu;
use encap::relay::RELAY_OPTION_LEN;
use encap::tunnel::{IpVersion, Overhead};

use super::config::{NetworkConfig, UnderlayMtu, VlanRule};

/// What a link is taken to have when its MTU cannot be read: Ethernet's.
const UNKNOWN_LINK: u32 = 1500;

/// The MTU of an underlay link or path: the link's own, and never more than the configured one.
pub(super) fn of_underlay(configured: UnderlayMtu, link: Option<Mtu>) -> Mtu {
    match (configured, link) {
        (UnderlayMtu::Fixed(fixed), Some(link)) => fixed.min(link),
        (UnderlayMtu::Fixed(fixed), None) => fixed,
        (UnderlayMtu::Auto, Some(link)) => link,
        (UnderlayMtu::Auto, None) => Mtu::new(UNKNOWN_LINK).unwrap_or(Mtu::IPV6_MIN),
    }
}

/// The MTU of a network's ports: the configured one, or what fits the underlay, and then at least 1,280.
///
/// With addresses of both families the larger overhead, IPv6's, decides. Both formats have the same, as we send no
/// Geneve options.
pub(super) fn of_ports(network: &NetworkConfig, underlay: Mtu, addresses: &[IpAddr]) -> Mtu {
    let outer = if addresses.iter().any(IpAddr::is_ipv6) { IpVersion::V6 } else { IpVersion::V4 };
    network.mtu.unwrap_or_else(|| {
        let fits =
            Overhead { outer, option_octets: 0, vlan: network.vlan == VlanRule::Pass }.inner_mtu(underlay);
        fits.map_or(Mtu::IPV6_MIN, |mtu| mtu.max(Mtu::IPV6_MIN))
    })
}

/// What a pod may send to a peer; `None` when the path is too small for any IP packet.
pub(super) fn through(peer: IpAddr, path: Mtu, vlan: bool) -> Option<Mtu> {
    Overhead { outer: peer.into(), option_octets: 0, vlan }.inner_mtu(path)
}

/// The same through another node, behind whose address datagrams carry an option more.
pub(super) fn through_relay(relay: IpAddr, path: Mtu, vlan: bool) -> Option<Mtu> {
    Overhead { outer: relay.into(), option_octets: RELAY_OPTION_LEN, vlan }.inner_mtu(path)
}

#[cfg(test)]
mod tests {
    use encap::Vni;

    use super::*;

    fn mtu(octets: u32) -> Mtu {
        Mtu::new(octets).unwrap()
    }

    #[test]
    fn the_larger_overhead_of_two_families_decides() {
        let network = NetworkConfig::new("pods", Vni::new(1).unwrap());
        let (v4, v6) = (IpAddr::from([10, 0, 0, 1]), "fd00::1".parse().unwrap());
        assert_eq!(of_ports(&network, mtu(1500), &[v4]), mtu(1450));
        assert_eq!(of_ports(&network, mtu(1500), &[v4, v6]), mtu(1430));
        let tagged = NetworkConfig { vlan: VlanRule::Pass, ..network };
        assert_eq!(of_ports(&tagged, mtu(1500), &[v4]), mtu(1446));
    }

    #[test]
    fn a_port_never_goes_below_1280_and_a_configured_mtu_stands() {
        let network = NetworkConfig::new("pods", Vni::new(1).unwrap());
        assert_eq!(of_ports(&network, mtu(1300), &[]), mtu(1280));
        assert_eq!(of_ports(&NetworkConfig { mtu: Some(mtu(1400)), ..network }, mtu(9000), &[]), mtu(1400));
    }

    #[test]
    fn a_configured_underlay_mtu_only_lowers() {
        assert_eq!(of_underlay(UnderlayMtu::Fixed(mtu(1400)), Some(mtu(9000))), mtu(1400));
        assert_eq!(of_underlay(UnderlayMtu::Fixed(mtu(9000)), Some(mtu(1500))), mtu(1500));
        assert_eq!(of_underlay(UnderlayMtu::Auto, None), mtu(1500));
    }
}
