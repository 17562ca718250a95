//! The configuration: TOML in, checked types out.
//!
//! A file becomes a [`Config`] in three steps: `read` turns TOML tables into typed values and names every unknown key and
//! wrong value with its line; [`Config::problems`] checks what several values must agree on; the first to succeed at both
//! is a [`Config`]. All problems are reported at once. A value that is in a [`Config`] need not be checked again.
//!
//! What the command line adds to a running daemon goes the same way: change a clone, then ask it for its
//! [`problems`](Config::problems).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use encap::{Format, MacAddr, Mtu, Vni};
use ipnet::IpNet;

use crate::io::netns::NetnsRef;

mod api;
mod check;
mod error;
mod gossip;
mod keys;
mod parse;
mod path;
mod peer;
mod read;
mod reload;
#[cfg(test)]
mod tests;
mod values;

pub use api::{ApiConfig, Http};
pub use error::{ConfigError, Problem};
pub use gossip::{GossipConfig, JoinAddress, JoinAddressError, JoinHost, MAX_JOIN};
pub use keys::{KEYS, Section};
pub use path::{Discovery, PathConfig};
pub use peer::{PeerAddress, PeerAddressError, PeerConfig};

/// The whole configuration, checked.
///
/// # Examples
///
/// ```
/// use weft::control::config::Config;
///
/// let config = Config::from_toml(
///     r#"
///     [[network]]
///     name = "pods"
///     vni = 100
///     "#,
/// )?;
/// assert_eq!(config.networks[0].vni.get(), 100);
/// assert_eq!(config.underlay.vxlan_port, 4789);
///
/// let error = Config::from_toml("[[network]]\nname = \"pods\"\nvnii = 100").unwrap_err();
/// assert!(error.to_string().contains("line 3: unknown key `vnii` in [[network]]; did you mean `vni`?"));
/// # Ok::<(), weft::control::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[node]`: this host. Needs a restart.
    pub node: NodeConfig,
    /// `[underlay]`: the network between the hosts. Needs a restart.
    pub underlay: UnderlayConfig,
    /// `[encap]`: what is sent; both formats are always received. Reloadable.
    pub encap: EncapConfig,
    /// `[datapath]`: how frames are moved. Needs a restart.
    pub datapath: DatapathConfig,
    /// `[gossip]`: how nodes find each other; gossip is on exactly when the section exists. Needs a restart, but for
    /// `join`.
    pub gossip: Option<GossipConfig>,
    /// `[path]`: the ways to other nodes. Reloadable.
    pub path: PathConfig,
    /// `[[network]]`: the L2 segments. Reloadable.
    pub networks: Vec<NetworkConfig>,
    /// `[[port]]`: the local TAPs. Reloadable.
    pub ports: Vec<PortConfig>,
    /// `[[peer]]`: the static VTEPs. Reloadable.
    pub peers: Vec<PeerConfig>,
    /// `[api]`: what programs may ask over HTTP. Needs a restart.
    pub api: ApiConfig,
    /// `[log]`: what is logged and how. Reloadable.
    pub log: LogConfig,
}

/// `[node]`: this host. Every key needs a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// `name`: how this node is shown; 1 to 64 letters, digits, `-`, `_`, `.`. Default: the host name.
    pub name: String,
    /// `state_dir`: absolute path of the directory for what outlives a restart. Default: `/var/lib/weft`.
    pub state_dir: PathBuf,
    /// `socket`: absolute path of the API's Unix socket, at most 107 octets. Default: `/run/weft/weft.sock`.
    pub socket: PathBuf,
    /// `keep_ports`: whether the TAPs stay in place when the daemon stops. Default: false.
    pub keep_ports: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: values::host_name(),
            state_dir: PathBuf::from("/var/lib/weft"),
            socket: PathBuf::from("/run/weft/weft.sock"),
            keep_ports: false,
        }
    }
}

/// `[underlay]`: the network between the hosts. Every key needs a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderlayConfig {
    /// `address`: this host's underlay addresses, at most one IPv4 and one IPv6; a string or a list. Default: empty,
    /// which takes those of `interface`, or else the source address of the default route: ones that last, and the same for
    /// as long as the host has them.
    pub address: Vec<IpAddr>,
    /// `interface`: the device whose addresses to use; not together with `address`. Default: none.
    pub interface: Option<String>,
    /// `advertise`: what other nodes see this host's addresses as, behind 1:1 NAT: at most one IPv4 and one IPv6; a string
    /// or a list. Gossip tells it. Default: empty, they see the addresses themselves.
    pub advertise: Vec<IpAddr>,
    /// `mtu`: the IP MTU of the underlay. Default: `"auto"`, the MTU of the link.
    pub mtu: UnderlayMtu,
    /// `vxlan_port`: the UDP port on which VXLAN is received, 1 to 65535. Default: 4789.
    pub vxlan_port: u16,
    /// `geneve_port`: the UDP port on which Geneve is received, 1 to 65535. Default: 6081.
    pub geneve_port: u16,
    /// `source_ports`: how many UDP source ports flows are spread over, 1 to 64 ([RFC 7348 §5]). Default: 16.
    ///
    /// [RFC 7348 §5]: https://www.rfc-editor.org/rfc/rfc7348#section-5
    pub source_ports: u16,
}

impl Default for UnderlayConfig {
    fn default() -> Self {
        Self {
            address: Vec::new(),
            interface: None,
            advertise: Vec::new(),
            mtu: UnderlayMtu::Auto,
            vxlan_port: 4789,
            geneve_port: 6081,
            source_ports: 16,
        }
    }
}

impl UnderlayConfig {
    /// The address that other nodes see `own` as: that of its family in `advertise`, or else `own`.
    #[must_use]
    pub fn seen_as(&self, own: IpAddr) -> IpAddr {
        self.advertise.iter().copied().find(|ip| ip.is_ipv4() == own.is_ipv4()).unwrap_or(own)
    }
}

/// `underlay.mtu`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderlayMtu {
    /// `"auto"`: the MTU of the link towards each peer.
    #[default]
    Auto,
    /// A number of octets, 576 to 65535: never more than this.
    Fixed(Mtu),
}

/// `[encap]`: what is sent; both formats are always received. Every key is reloadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncapConfig {
    /// `format`: the encapsulation sent to peers that name none. Default: `"vxlan"`.
    pub format: Format,
    /// `vxlan_reserved`: what a reserved bit in a received VXLAN header means. Default: `"ignore"`.
    pub vxlan_reserved: Reserved,
    /// `dscp`: the DSCP of the outer header. Default: `"0"`.
    pub dscp: Dscp,
}

impl Default for EncapConfig {
    fn default() -> Self {
        Self { format: Format::Vxlan, vxlan_reserved: Reserved::Ignore, dscp: Dscp::Zero }
    }
}

/// `encap.vxlan_reserved`: what a reserved bit in a received VXLAN header means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserved {
    /// `"ignore"`: nothing ([RFC 7348 §5](https://www.rfc-editor.org/rfc/rfc7348#section-5)).
    #[default]
    Ignore,
    /// `"strict"`: the datagram is dropped, as Linux does.
    Strict,
}

/// `encap.dscp`: the DSCP of the outer header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// `"0"`: always 0.
    #[default]
    Zero,
    /// `"inherit"`: that of the inner packet.
    Inherit,
}

/// `[datapath]`: how frames are moved. Every key needs a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatapathConfig {
    /// `workers`: the threads that move frames. Default: `"auto"`.
    pub workers: Workers,
    /// `poll`: how a worker waits for frames. Default: `"adaptive"`.
    pub poll: Poll,
    /// `tso`: whether ports take TCP super-frames. Default: true.
    pub tso: bool,
    /// `uso`: whether ports take UDP super-frames (Linux 6.2). Default: true.
    pub uso: bool,
    /// `udp_segment`: the most datagrams handed to the kernel in one `UDP_SEGMENT` send: 128, 64, or 0 for none.
    /// Default: 128.
    pub udp_segment: u16,
    /// `udp_gro`: whether the kernel may hand over several datagrams at once. Default: true.
    pub udp_gro: bool,
}

impl Default for DatapathConfig {
    fn default() -> Self {
        Self {
            workers: Workers::Auto,
            poll: Poll::Adaptive,
            tso: true,
            uso: true,
            udp_segment: 128,
            udp_gro: true,
        }
    }
}

/// `datapath.workers`: the threads that move frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// `"auto"`: as many as suit the CPUs of this host.
    #[default]
    Auto,
    /// A number, 1 to 64.
    Fixed(u16),
}

/// `datapath.poll`: how a worker waits for frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poll {
    /// `"adaptive"`: blocks when idle, spins while traffic is sparse.
    #[default]
    Adaptive,
    /// `"interrupt"`: always blocks; least CPU.
    Interrupt,
    /// `"busy"`: never blocks; one CPU a worker, all the time.
    Busy,
}

/// `[[network]]`: one L2 segment. Every key is reloadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `name`: required, unique; 1 to 64 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// `vni`: required, unique; 0 to 16777215.
    pub vni: Vni,
    /// `unknown_unicast`: what happens to a frame for a MAC that nobody is known to have. Default: none given;
    /// see [`NetworkConfig::floods_unknown`].
    pub unknown_unicast: Option<UnknownUnicast>,
    /// `mac_age`: how long a learned MAC is kept unseen, such as `"300s"`; 1s to 365days, `"0s"` keeps it for ever.
    /// Default: 300s.
    pub mac_age: Duration,
    /// `vlan`: what happens to a frame with a VLAN tag ([RFC 7348 §6.1]). Default: `"drop"`.
    ///
    /// [RFC 7348 §6.1]: https://www.rfc-editor.org/rfc/rfc7348#section-6.1
    pub vlan: VlanRule,
    /// `max_macs`: the most MACs learned on this network, 1 to 1048576. Default: 65536.
    pub max_macs: u32,
    /// `mtu`: the IP MTU of the ports, in octets, 1280 to 65481. Default: derived from the underlay.
    pub mtu: Option<Mtu>,
}

impl NetworkConfig {
    /// A network with the default for everything else.
    #[must_use]
    pub fn new(name: impl Into<String>, vni: Vni) -> Self {
        Self {
            name: name.into(),
            vni,
            unknown_unicast: None,
            mac_age: Duration::from_secs(300),
            vlan: VlanRule::Drop,
            max_macs: 65_536,
            mtu: None,
        }
    }

    /// Whether the network floods frames for a MAC that nobody is known to have: as `unknown_unicast` says; when it is not
    /// given, then unless `gossip` tells who lives where.
    #[must_use]
    pub fn floods_unknown(&self, gossip: bool) -> bool {
        self.unknown_unicast.map_or(!gossip, |rule| rule == UnknownUnicast::Flood)
    }
}

/// `network.unknown_unicast`: what happens to a frame for a MAC that nobody is known to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownUnicast {
    /// `"flood"`: every port and peer of the network gets it.
    Flood,
    /// `"drop"`: nobody gets it.
    Drop,
}

/// `network.vlan`: what happens to a frame with a VLAN tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VlanRule {
    /// `"drop"`: it is dropped.
    #[default]
    Drop,
    /// `"pass"`: it is forwarded as it is.
    Pass,
}

/// `[[port]]`: one local TAP. Every key is reloadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// `name`: required, unique on this node; 1 to 64 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// `network`: required; the name of a `[[network]]`.
    pub network: String,
    /// `ifname`: the name of the device, 1 to 15 characters, unique in its namespace. Default: `name`;
    /// see [`PortConfig::ifname`].
    pub ifname: Option<String>,
    /// `netns`: the network namespace of the device, a path or `pid:N`. Default: the daemon's own.
    pub netns: Option<NetnsRef>,
    /// `mac`: the device's MAC address, and the only one the port may use; no group address. Default: any.
    pub mac: Option<MacAddr>,
    /// `addresses`: the device's IP addresses with their prefix lengths, and the only ones the port may use.
    /// Default: any.
    pub addresses: Vec<IpNet>,
    /// `gateway`: the default gateway of the namespace, inside the prefix of one of `addresses`. Default: none.
    pub gateway: Option<IpAddr>,
    /// `bum_pps`: broadcast and unknown unicast frames a second from this port, 0 to 1000000000; the burst is twice
    /// that, 0 = no limit. Default: 2000.
    pub bum_pps: u32,
    /// `multicast_pps`: multicast frames a second from this port, likewise. Default: 0.
    pub multicast_pps: u32,
    /// `guard`: whether a port with `mac` or `addresses` may use only those. Default: true.
    pub guard: bool,
}

impl PortConfig {
    /// A port with the default for everything else.
    #[must_use]
    pub fn new(name: impl Into<String>, network: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            network: network.into(),
            ifname: None,
            netns: None,
            mac: None,
            addresses: Vec::new(),
            gateway: None,
            bum_pps: 2000,
            multicast_pps: 0,
            guard: true,
        }
    }

    /// The name of the device: `ifname`, or else `name`.
    #[must_use]
    pub fn ifname(&self) -> &str {
        self.ifname.as_deref().unwrap_or(&self.name)
    }
}

/// `[log]`: what is logged and how. Every key is reloadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `level`: `error`, `warn`, `info`, `debug` or `trace`, or a list of `TARGET=LEVEL`, as
    /// [`Settings`](crate::log::Settings) reads it. Default: `"info"`.
    pub level: String,
    /// `format`: how a line looks. Default: `"auto"`.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// `log.format`: how a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `"auto"`: text on a terminal, else JSON.
    #[default]
    Auto,
    /// `"text"`: for people.
    Text,
    /// `"json"`: one object a line.
    Json,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] naming the file: it cannot be read, or everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text).map_err(|error| error.in_file(path))
    }

    /// Reads and checks TOML text.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        parse::config(text).map_err(ConfigError::invalid)
    }

    /// What is wrong with this configuration as a whole: duplicates, names that lead nowhere, addresses that do not
    /// fit. Empty for whatever [`from_toml`](Self::from_toml) returned.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        check::config(self)
    }

    /// What keeps a running daemon from going over to `new` without a restart, each naming the key with its old and
    /// new value; empty = the reload may go on.
    ///
    /// # Examples
    ///
    /// ```
    /// use weft::control::config::Config;
    ///
    /// let old = Config::default();
    /// let new = Config::from_toml("[underlay]\nvxlan_port = 8472")?;
    /// assert!(old.reload_refusals(&new)[0].contains("`vxlan_port` in [underlay]"));
    /// # Ok::<(), weft::control::config::ConfigError>(())
    /// ```
    #[must_use]
    pub fn reload_refusals(&self, new: &Self) -> Vec<String> {
        reload::refusals(self, new)
    }
}
