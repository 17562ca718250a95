//! What of the host is in the way.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Buffer, Facts, FallbackFacts, Finding, Fix, HostRoute, Severity, UnderlayLink, names};

pub(super) fn check(facts: &Facts) -> Option<Vec<Finding>> {
    let mut found = overlaps(facts);
    found.extend(facts.host.links.iter().filter_map(|link| reverse_path(facts, link)));
    found.extend(facts.host.buffer.and_then(receive_buffer));
    found.extend(facts.host.send_buffer.and_then(send_buffer));
    found.extend(checksums(facts));
    found.extend(receive_offload(facts));
    found.extend(facts.daemon.iter().flat_map(|daemon| &daemon.fallbacks).map(fallback));
    Some(found)
}

fn warning(code: &str, subject: String, [what, why, mend]: [String; 3]) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: code.to_owned(),
        subject,
        what,
        why,
        mend,
        fixes: Vec::new(),
    }
}

/// Whether two prefixes have addresses in common.
#[must_use]
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

fn overlaps(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let own: BTreeSet<&str> = facts.pods.iter().filter_map(|pods| pods.device.as_deref()).collect();
    let pods: BTreeSet<(&str, IpNet)> =
        facts.pods.iter().map(|pods| (pods.network.as_str(), pods.net)).collect();
    for (network, net) in pods {
        let others = facts.host.routes.iter().filter(|route| !own.contains(route.device.as_str()));
        for HostRoute { net: route, device } in others.filter(|route| overlap(&route.net, &net)) {
            found.push(warning(
                "route_overlap",
                format!("network {network}"),
                [
                    format!("its prefix {net} overlaps with this host's route to {route} by {device}"),
                    format!(
                        "an address in both means a pod to pods, and something behind {device} to this host: each reaches \
                         only one of the two"
                    ),
                    "give the pods another prefix, or the route another one; `ip route` lists them".to_owned(),
                ],
            ));
        }
    }
    found
}

/// A strict filter drops what comes from peers that are reached through another device.
fn reverse_path(facts: &Facts, link: &UnderlayLink) -> Option<Finding> {
    let UnderlayLink { device, address, .. } = link;
    let elsewhere = |to: IpAddr| to.is_ipv4() && address.is_ipv4();
    let ways = facts.host.ways.iter().filter(|way| link.strict && elsewhere(way.to) && way.device != *device);
    let dropped: Vec<_> = ways.map(|way| (way.to.to_string(), way.device.as_str())).collect();
    let (_, by) = dropped.first()?;
    let finding = warning(
        "rp_filter",
        format!("device {device}"),
        [
            format!(
                "its reverse path filter is strict, and {} is reached by {by}",
                names(dropped.iter().map(|(to, _)| to.as_str()))
            ),
            format!("what comes from there by {device} is dropped without a word, before weft sees it"),
            format!(
                "route there by {device} (`ip route get ADDRESS from {address}` must name it), or make the filter loose"
            ),
        ],
    );
    Some(Finding { fixes: Fix::loose_reverse_path(device).into_iter().collect(), ..finding })
}

/// What must be allowed for all that was asked for; `None` = it was given.
fn missing(buffer: Buffer) -> Option<u32> {
    // The kernel doubles what is asked for.
    u32::try_from(buffer.wanted / 2).ok().filter(|_| buffer.got < buffer.wanted)
}

fn receive_buffer(buffer: Buffer) -> Option<Finding> {
    let (most, Buffer { got, wanted }) = (missing(buffer)?, buffer);
    let finding = warning(
        "receive_buffer",
        "node".to_owned(),
        [
            format!("the receive sockets got {} KiB of the {} KiB they asked for", got / 1024, wanted / 1024),
            "a burst that comes while a worker is busy is lost before weft sees it (`udp_overflow` in `weft drops`)".to_owned(),
            format!("give weft CAP_NET_ADMIN, or set net.core.rmem_max to {most} or more and restart weft"),
        ],
    );
    Some(Finding { fixes: vec![Fix::receive_buffer(most)], ..finding })
}

fn send_buffer(buffer: Buffer) -> Option<Finding> {
    let (most, Buffer { got, wanted }) = (missing(buffer)?, buffer);
    let finding = warning(
        "send_buffer",
        "node".to_owned(),
        [
            format!("the send sockets got {} KiB of the {} KiB they asked for", got / 1024, wanted / 1024),
            "a burst that the device does not take at once is dropped (`send_error` in `weft drops`)"
                .to_owned(),
            format!("give weft CAP_NET_ADMIN, or set net.core.wmem_max to {most} or more and restart weft"),
        ],
    );
    Some(Finding { fixes: vec![Fix::send_buffer(most)], ..finding })
}

fn checksums(facts: &Facts) -> Vec<Finding> {
    let without = facts.host.links.iter().filter(|link| link.checksums == Some(false));
    let devices: BTreeSet<&str> = without.map(|link| link.device.as_str()).collect();
    let finding = |device: &str| {
        warning(
            "nic_offloads",
            format!("device {device}"),
            [
                format!(
                    "{device} computes no checksums, so the kernel refuses to cut datagrams for it (UDP_SEGMENT)"
                ),
                "frames go one by one, which costs half of the throughput or more".to_owned(),
                format!(
                    "`ethtool -K {device} tx on`; if the driver cannot, use another one (virtio-net, ena and vmxnet3 can)"
                ),
            ],
        )
    };
    devices.into_iter().map(finding).collect()
}

fn receive_offload(facts: &Facts) -> Vec<Finding> {
    let without = facts.host.links.iter().filter(|link| link.gro == Some(false));
    let devices: BTreeSet<&str> = without.map(|link| link.device.as_str()).collect();
    let finding = |device: &str| {
        warning(
            "nic_receive",
            format!("device {device}"),
            [
                format!("datagrams that {device} receives are not joined (GRO is off)"),
                "each comes in by itself, which costs half of the throughput".to_owned(),
                format!("`ethtool -K {device} gro on`"),
            ],
        )
    };
    devices.into_iter().map(finding).collect()
}

fn fallback(fallback: &FallbackFacts) -> Finding {
    let FallbackFacts { subject, offload, said } = fallback;
    warning(
        "plain_path",
        subject.clone().unwrap_or_else(|| "node".to_owned()),
        [
            format!("the kernel refuses {offload} ({said})"),
            "frames go one by one, which costs half of the throughput or more".to_owned(),
            "look at the offloads of the device that leads there: `ethtool -k DEVICE` (tx-checksumming, \
             tx-udp-segmentation); weft tries again every 60 s"
                .to_owned(),
        ],
    )
}
