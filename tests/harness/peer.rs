//! The kernel's own VXLAN as a peer.

use std::net::IpAddr;

use crate::lab::Host;
use crate::netns::Netns;

/// How a peer's pod is joined to its tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// The VXLAN device is the pod's `eth0`.
    Device,
    /// A bridge on the host, and a veth pair to the pod.
    Bridge,
}

/// Makes a kernel VXLAN tunnel from `host` to `remote`, with `pod` at this end.
#[track_caller]
pub fn kernel_vxlan(host: &Host, remote: IpAddr, vni: u32, pod: &Netns, joint: Joint) {
    host.finish_packets();
    let (ns, v6) = (&host.ns, remote.is_ipv6());
    // Linux sends UDP over IPv6 without a checksum only when told to; the default is a checksum, as ours.
    ns.ip(&format!(
        "link add vx0 type vxlan id {vni} dstport 4789 local {} remote {remote} dev u0",
        host.address(v6)
    ));
    match joint {
        Joint::Device => {
            ns.ip(&format!("link set vx0 netns {} name eth0", pod.name()));
        }
        Joint::Bridge => {
            let mtu = mtu_of(ns, "vx0");
            ns.ip(&format!("link add p0 mtu {mtu} type veth peer name eth0 netns {}", pod.name()));
            pod.ip(&format!("link set eth0 mtu {mtu}"));
            ns.ip("link add br0 type bridge mcast_snooping 0");
            for device in ["vx0", "p0"] {
                ns.ip(&format!("link set {device} master br0 up"));
            }
            ns.ip("link set br0 up");
        }
    }
}

/// Gives a pod's `eth0` the addresses of the Nth pod and sets it up.
#[track_caller]
pub fn address_pod(pod: &Netns, n: u8) {
    pod.ip(&format!("link set eth0 address 02:00:00:00:32:{n:02x} up"));
    pod.ip(&format!("addr add {}/12 dev eth0", crate::pair::pod_v4(n)));
    pod.ip(&format!("addr add {}/64 dev eth0 nodad", crate::pair::pod_v6(n)));
}

/// The MTU of a device.
#[must_use]
#[track_caller]
pub fn mtu_of(ns: &Netns, device: &str) -> u32 {
    let shown = ns.ip(&format!("-o link show {device}"));
    let mtu = shown.split(" mtu ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    mtu.unwrap_or_else(|| panic!("no MTU in: {shown}"))
}
