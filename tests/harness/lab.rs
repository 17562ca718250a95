//! Hosts on one underlay.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use crate::capture::{self, Capture};
use crate::netns::{Netns, PREFIX};

/// Octets of each packet that the lab's own capture keeps: Ethernet and the longest outer IP header.
const SNAP: u32 = 96;

/// A switch (`hub`) that hosts are plugged into, and a scratch folder.
#[derive(Debug)]
pub struct Lab {
    capture: Option<Capture>,
    hub: Arc<Netns>,
    mtu: u32,
    hosts: AtomicU8,
    dir: TempDir,
}

/// A host: a namespace with an underlay device `u0`.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its namespace.
    pub ns: Arc<Netns>,
    /// Its name.
    pub name: String,
    /// Its underlay addresses.
    pub v4: Ipv4Addr,
    /// The same for IPv6.
    pub v6: Ipv6Addr,
    /// A folder of its own.
    pub dir: PathBuf,
}

impl Host {
    /// One of its underlay addresses.
    #[must_use]
    pub const fn address(&self, v6: bool) -> IpAddr {
        if v6 { IpAddr::V6(self.v6) } else { IpAddr::V4(self.v4) }
    }

    /// Makes its underlay device finish checksums and segments before the wire, as a NIC does. Without this a kernel
    /// or OVS peer leaves both undone over a veth pair.
    #[track_caller]
    pub fn finish_packets(&self) {
        self.ns.exec("ethtool -K u0 tx off");
    }
}

impl Lab {
    /// An underlay with an MTU of 1,500.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::with_mtu(1500)
    }

    /// An underlay with this MTU.
    #[must_use]
    #[track_caller]
    pub fn with_mtu(mtu: u32) -> Self {
        let hub = Arc::new(Netns::new("hub"));
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a scratch folder");
        hub.ip("link add br0 mtu 9000 type bridge mcast_snooping 0 stp_state 0");
        quiet_up(&hub, "br0");
        let capture = Some(Capture::start(&hub, "br0", &dir.path().join("underlay.pcap"), SNAP));
        Self { capture, hub, mtu, hosts: AtomicU8::new(1), dir }
    }

    /// Plugs in another host, with addresses 10.99.0.N and fd99::N for the Nth.
    #[must_use]
    #[track_caller]
    pub fn host(&self, name: &str) -> Host {
        let n = self.hosts.fetch_add(1, Ordering::Relaxed);
        let (ns, mtu) = (Netns::new(name), self.mtu);
        self.hub.ip(&format!("link add h{n} mtu {mtu} type veth peer name u0 netns {}", ns.name()));
        self.hub.ip(&format!("link set h{n} master br0"));
        quiet_up(&self.hub, &format!("h{n}"));
        let (v4, v6) = (Ipv4Addr::new(10, 99, 0, n), Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, n.into()));
        ns.ip(&format!("link set u0 mtu {mtu}"));
        quiet_up(&ns, "u0");
        ns.ip(&format!("addr add {v4}/24 dev u0"));
        ns.ip(&format!("addr add {v6}/64 dev u0 nodad"));
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).expect("a folder for the host");
        Host { ns: Arc::new(ns), name: name.to_owned(), v4, v6, dir }
    }

    /// A pod: an empty namespace.
    #[must_use]
    #[track_caller]
    pub fn pod(&self, name: &str) -> Arc<Netns> {
        Arc::new(Netns::new(name))
    }

    /// The namespace of the underlay's switch: its port `hN` is the wire of the Nth host.
    #[must_use]
    pub fn hub(&self) -> &Netns {
        &self.hub
    }

    /// The scratch folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The octets that have crossed the wire of the Nth host, to it and from it.
    #[must_use]
    pub fn wire_packets(&self, n: u8) -> u64 {
        let read = |what| {
            let text = self.hub.exec(&format!("cat /sys/class/net/h{n}/statistics/{what}"));
            text.trim().parse::<u64>().expect("a number")
        };
        read("rx_packets") + read("tx_packets")
    }

    /// Ends the capture that ran since the lab began, and checks that the underlay saw addresses of hosts only.
    ///
    /// # Panics
    ///
    /// When a packet on the underlay has any other address in its outer header.
    #[track_caller]
    pub fn underlay_saw_only_hosts(&mut self) {
        if let Some(running) = self.capture.take() {
            let strangers = capture::foreign_addresses(&running.stop());
            assert!(strangers.is_empty(), "addresses on the underlay that are no host's: {strangers:?}");
        }
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets a device up that gets no link-local address, so that the underlay has the addresses given here only.
fn quiet_up(ns: &Netns, device: &str) {
    ns.ip(&format!("link set {device} addrgenmode none"));
    ns.ip(&format!("link set {device} up"));
}
