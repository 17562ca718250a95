//! `[path]`: how the ways to other nodes are watched, and what is done for frames that do not fit one.

use std::time::Duration;

use encap::Mtu;

/// `[path]`: the ways to other nodes. Every key is reloadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// `discovery`: how the MTU and the health of a path are found out. Default: `"probe"`.
    pub discovery: Discovery,
    /// `min`: the IP MTU that every underlay path is taken to have, in octets, 576 to 9000: nothing smaller is tried
    /// ([RFC 8899 §5.1.2], MIN_PLPMTU). Default: 1280.
    ///
    /// [RFC 8899 §5.1.2]: https://www.rfc-editor.org/rfc/rfc8899#section-5.1.2
    pub min: Mtu,
    /// `clamp_mss`: whether the MSS of TCP connections is lowered to what fits the path. Default: true.
    pub clamp_mss: bool,
    /// `relay`: whether a node that is not reached directly is reached through another one. Default: true.
    pub relay: bool,
    /// `raise`: how often a larger MTU than the known one is tried, such as `"15s"`; 1s to 1h. Default: 15s.
    pub raise: Duration,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            discovery: Discovery::Probe,
            min: Mtu::IPV6_MIN,
            clamp_mss: true,
            relay: true,
            raise: Duration::from_secs(15),
        }
    }
}

/// `path.discovery`: how the MTU and the health of a path are found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// `"probe"`: members answer probes on the data ports ([RFC 8899](https://www.rfc-editor.org/rfc/rfc8899)).
    #[default]
    Probe,
    /// `"off"`: the MTU of the link is that of the path, and what gossip says of a node holds for the path to it.
    Off,
}
