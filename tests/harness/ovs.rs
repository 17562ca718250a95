//! Open vSwitch, with its userspace datapath, as a peer.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::command::{Process, run};
use crate::lab::Host;
use crate::netns::Netns;
use crate::wait;

/// The schema of the database, from Debian's openvswitch-switch.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A running Open vSwitch.
#[derive(Debug)]
pub struct Ovs {
    _switch: Process,
    _database: Process,
    host: Host,
    dir: PathBuf,
}

/// What its tunnel is to be.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// `vxlan` or `geneve`.
    pub kind: &'static str,
    /// The network.
    pub vni: u32,
    /// The other end.
    pub remote: IpAddr,
    /// The MTU inside.
    pub mtu: u32,
}

impl Ovs {
    /// Starts Open vSwitch on a host, lets it take over the underlay device, and joins `pod` by a veth pair.
    #[must_use]
    #[track_caller]
    pub fn start(host: &Host, pod: &Netns, tunnel: Tunnel) -> Self {
        assert!(Path::new(SCHEMA).exists(), "{SCHEMA} is missing: apt-get install openvswitch-switch");
        host.finish_packets();
        let dir = host.dir.join("ovs");
        std::fs::create_dir(&dir).expect("a folder for ovs");
        let at = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
        run(&["ovsdb-tool", "create", &at("conf.db"), SCHEMA]);
        let home = at("");
        let env =
            [("OVS_RUNDIR", home.as_str()), ("OVS_DBDIR", home.as_str()), ("OVS_LOGDIR", home.as_str())];
        let socket = at("db.sock");
        let remote = format!("--remote=punix:{socket}");
        let database =
            host.ns.start(&["ovsdb-server", &at("conf.db"), &remote], &env, &dir.join("ovsdb.log"));
        wait::until(wait::secs(10), "ovsdb-server", || Path::new(&socket).exists());
        control(host, &socket, "--no-wait init");
        let switch =
            host.ns.start(&["ovs-vswitchd", &format!("unix:{socket}")], &env, &dir.join("vswitchd.log"));
        let ovs = Self { _switch: switch, _database: database, host: host.clone(), dir };
        ovs.take_underlay(&socket);
        ovs.add_tunnel(&socket, tunnel);
        ovs.add_pod(&socket, pod, tunnel.mtu);
        ovs
    }

    /// Moves the underlay device and its addresses into a bridge.
    fn take_underlay(&self, socket: &str) {
        let ns = &self.host.ns;
        let mac = ns.exec("cat /sys/class/net/u0/address");
        control(
            &self.host,
            socket,
            &format!(
                "add-br phy -- set bridge phy datapath_type=netdev other_config:hwaddr={} \
                 -- add-port phy u0",
                mac.trim()
            ),
        );
        ns.ip("addr flush dev u0");
        ns.ip("link set phy addrgenmode none");
        ns.ip(&format!("addr add {}/24 dev phy", self.host.v4));
        ns.ip(&format!("addr add {}/64 dev phy nodad", self.host.v6));
        ns.ip("link set phy up");
        ns.try_exec("ethtool -K phy tx off");
    }

    fn add_tunnel(&self, socket: &str, tunnel: Tunnel) {
        let Tunnel { kind, vni, remote, .. } = tunnel;
        control(
            &self.host,
            socket,
            &format!(
                "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 tun0 \
                 -- set interface tun0 type={kind} options:remote_ip={remote} options:key={vni}"
            ),
        );
    }

    fn add_pod(&self, socket: &str, pod: &Netns, mtu: u32) {
        let ns = &self.host.ns;
        ns.ip(&format!("link add p0 mtu {mtu} type veth peer name eth0 netns {}", pod.name()));
        pod.ip(&format!("link set eth0 mtu {mtu}"));
        ns.ip("link set p0 up");
        control(&self.host, socket, "add-port br0 p0");
        // Its userspace datapath forwards half-made checksums and TSO frames unfinished over a tunnel.
        pod.exec("ethtool -K eth0 tx off");
    }

    /// What Open vSwitch has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("vswitchd.log")).unwrap_or_default()
    }
}

/// Runs `ovs-vsctl`.
#[track_caller]
fn control(host: &Host, socket: &str, words: &str) {
    host.ns.exec(&format!("ovs-vsctl --db=unix:{socket} --timeout=10 {words}"));
}
