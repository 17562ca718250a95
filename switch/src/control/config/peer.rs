//! `[[peer]]`: the static VTEPs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use encap::Format;
use ipnet::IpNet;

/// `[[peer]]`: one static VTEP. Every key is reloadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// `address`: required, unique; an underlay address, or a prefix of such that is heard but never sent to.
    pub address: PeerAddress,
    /// `format`: the encapsulation it is sent; not for a prefix. Default: `encap.format`.
    pub format: Option<Format>,
    /// `networks`: the names of the networks it is on. Default: empty, which means all.
    pub networks: Vec<String>,
    /// `port`: the UDP port it receives on, 1 to 65535; not for a prefix. Default: this node's port for that format.
    pub port: Option<u16>,
    /// `share`: whether the members hear of it and of the MACs behind it, so that one node's entry serves all; not for a
    /// prefix, and only with `[gossip]`. Default: false.
    pub share: bool,
}

impl PeerConfig {
    /// A peer with the default for everything else.
    #[must_use]
    pub const fn new(address: PeerAddress) -> Self {
        Self { address, format: None, networks: Vec::new(), port: None, share: false }
    }

    /// Whether the peer is on the network of this name.
    #[must_use]
    pub fn is_on(&self, network: &str) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|name| name == network)
    }
}

/// `peer.address`.
///
/// # Examples
///
/// ```
/// use weft::control::config::PeerAddress;
///
/// assert!(matches!("10.0.0.9".parse()?, PeerAddress::Host(_)));
/// assert!(matches!("10.0.0.0/24".parse()?, PeerAddress::Prefix(_)));
/// assert!("10.0.0.9/24".parse::<PeerAddress>().is_err()); // the bits after the prefix are not zero
/// # Ok::<(), weft::control::config::PeerAddressError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// One VTEP, heard and sent to.
    Host(IpAddr),
    /// Any VTEP with such an address: heard, never sent to.
    Prefix(IpNet),
}

/// Text that is no [`PeerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerAddressError {
    /// Neither an address nor a prefix.
    #[error("an IP address such as 10.0.0.9, or a prefix such as 10.0.0.0/24")]
    Syntax,
    /// A prefix with bits set after its length.
    #[error("a prefix whose bits after the length are zero: {0}, or the address alone")]
    HostBits(IpNet),
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;
    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Host(ip.to_canonical()));
        }
        let net: IpNet = text.parse().map_err(|_| PeerAddressError::Syntax)?;
        if net.trunc() == net { Ok(Self::Prefix(net)) } else { Err(PeerAddressError::HostBits(net.trunc())) }
    }
}

impl PeerAddress {
    /// The address, or the first of the prefix.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Host(ip) => ip,
            Self::Prefix(net) => net.addr(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(ip) => ip.fmt(f),
            Self::Prefix(net) => net.fmt(f),
        }
    }
}
