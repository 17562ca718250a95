//! `[gossip]`: how nodes find each other.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The most addresses in `gossip.join`: they are resolved and asked again for as long as the daemon runs.
pub const MAX_JOIN: usize = 64;

/// `[gossip]`: how nodes find each other. Every key but `join` needs a restart.
///
/// Exactly one of `key_file` and `insecure` is given.
///
/// # Examples
///
/// ```
/// use weft::control::config::Config;
///
/// let config = Config::from_toml(
///     r#"
///     [gossip]
///     join = ["10.0.0.2", "node-c.example:7000"]
///     key_file = "/etc/weft/gossip.key"
///     "#,
/// )?;
/// let gossip = config.gossip.unwrap();
/// assert_eq!(gossip.join[0].to_string(), "10.0.0.2:6786");
/// let listen = gossip.listen_on(&["10.0.0.1".parse().unwrap()]);
/// assert_eq!(listen, Some("10.0.0.1:6786".parse().unwrap()));
/// # Ok::<(), weft::control::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GossipConfig {
    /// `listen`: address and port of gossip, UDP and TCP: `IP:PORT`, or `IP` for port 6786. Not that of a tunnel port. An
    /// unspecified address needs `underlay.advertise` of its family. Default: none given; see
    /// [`GossipConfig::listen_on`].
    pub listen: Option<SocketAddr>,
    /// `join`: nodes to ask for the others, up to [`MAX_JOIN`]; this node may be among them. Default: empty, which waits to
    /// be asked. Reloadable.
    pub join: Vec<JoinAddress>,
    /// `key_file`: absolute path of the file with the keys of the cluster. Default: none.
    pub key_file: Option<PathBuf>,
    /// `insecure`: whether gossip goes without keys, so that anybody on the underlay can join and forge. Default: false.
    pub insecure: bool,
}

impl GossipConfig {
    /// The port of gossip where none is given, UDP and TCP.
    pub const PORT: u16 = 6786;

    /// Where gossip listens on a node with these underlay addresses: `listen`, or else the first of them with port 6786;
    /// `None` without either. What others see of it is [`UnderlayConfig::seen_as`](super::UnderlayConfig::seen_as).
    #[must_use]
    pub fn listen_on(&self, underlay: &[IpAddr]) -> Option<SocketAddr> {
        self.listen.or_else(|| underlay.first().map(|ip| SocketAddr::new(*ip, Self::PORT)))
    }
}

/// One of `gossip.join`: a node by name or address, with its port.
///
/// # Examples
///
/// ```
/// use weft::control::config::{JoinAddress, JoinHost};
///
/// let seed: JoinAddress = "node-b.example".parse()?;
/// assert_eq!(seed.host(), &JoinHost::Name("node-b.example".to_owned()));
/// assert_eq!(seed.port(), 6786);
/// assert_eq!("fd00::2".parse::<JoinAddress>()?.to_string(), "[fd00::2]:6786");
/// assert!("10.0.0.256".parse::<JoinAddress>().is_err());
/// # Ok::<(), weft::control::config::JoinAddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinAddress {
    host: JoinHost,
    port: u16,
}

/// Who a [`JoinAddress`] names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinHost {
    /// An address.
    Ip(IpAddr),
    /// A name for DNS, which may stand for several addresses, and for others later.
    Name(String),
}

/// Text that is no [`JoinAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", JOIN)]
pub struct JoinAddressError;

/// What a [`JoinAddress`] may be.
pub(super) const JOIN: &str = "a host name or an IP address, with a port of 1 to 65535 or without, such as \"10.0.0.2\", \
                               \"[fd00::2]:6786\" or \"node-b.example:6786\"";

impl JoinAddress {
    /// Who is named.
    #[must_use]
    pub const fn host(&self) -> &JoinHost {
        &self.host
    }

    /// The port of its gossip, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for JoinAddress {
    type Err = JoinAddressError;
    fn from_str(text: &str) -> Result<Self, JoinAddressError> {
        if let Some(address) = socket_address(text, GossipConfig::PORT) {
            return Ok(Self { host: JoinHost::Ip(address.ip()), port: address.port() });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port_number(port).ok_or(JoinAddressError)?),
            None => (text, GossipConfig::PORT),
        };
        if is_host_name(name) {
            Ok(Self { host: JoinHost::Name(name.to_owned()), port })
        } else {
            Err(JoinAddressError)
        }
    }
}

impl fmt::Display for JoinAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            JoinHost::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            JoinHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// What `IP`, `[IP]` or `IP:PORT` stands for; the port is never 0, and `default_port` where none is given.
pub(super) fn socket_address(text: &str, default_port: u16) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bare {
        Some(v6) => v6.parse().map(IpAddr::V6),
        None => text.parse::<IpAddr>(),
    };
    let (ip, port) = match ip {
        Ok(ip) => (ip, default_port),
        Err(_) => {
            let (ip, port) = text.rsplit_once(':')?;
            // Without this, the address would take a port such as "+1" or "007".
            let port = port_number(port)?;
            (SocketAddr::from_str(&format!("{ip}:{port}")).ok()?.ip(), port)
        }
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Whether DNS can be asked for `text`. What ends in a number is a mistyped address, not a name.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|octet| octet.is_ascii_digit())
}
