//! The rules for single values that their type does not carry, and how the values with names are spelled.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use super::{Discovery, Dscp, LogFormat, Poll, Reserved, UnderlayMtu, UnknownUnicast, VlanRule, Workers};
use crate::log::Settings;

/// Spells the values of an enumeration: for reading, for messages, for people.
macro_rules! choices {
    ($type:ty { $($text:literal => $variant:ident),+ $(,)? }) => {
        impl $type {
            /// Each value with its spelling.
            pub(super) const CHOICES: &'static [(&'static str, Self)] = &[$(($text, Self::$variant)),+];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}

choices!(Reserved { "ignore" => Ignore, "strict" => Strict });
choices!(Dscp { "0" => Zero, "inherit" => Inherit });
choices!(Poll { "adaptive" => Adaptive, "interrupt" => Interrupt, "busy" => Busy });
choices!(Discovery { "probe" => Probe, "off" => Off });
choices!(UnknownUnicast { "flood" => Flood, "drop" => Drop });
choices!(VlanRule { "drop" => Drop, "pass" => Pass });
choices!(LogFormat { "auto" => Auto, "text" => Text, "json" => Json });

impl fmt::Display for UnderlayMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(mtu) => mtu.fmt(f),
        }
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(count) => count.fmt(f),
        }
    }
}

/// What [`is_name`] allows.
pub(super) const NAME: &str = "1 to 64 letters, digits, `-`, `_` or `.`, the first of them a letter or digit";

/// Whether `text` can name a node, network or port: it must survive in commands such as `-i port:NAME`.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// What [`is_ifname`] allows.
pub(super) const IFNAME: &str = "1 to 15 characters without space, `/`, `:` or `%`, not `.` or `..`";

/// Whether the kernel takes `text` for the name of a device; `%` would make it a pattern.
pub(super) fn is_ifname(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_graphic() && !"/:%".contains(c))
        && ![".", ".."].contains(&text)
}

/// What [`is_log_level`] allows.
pub(super) const LOG_LEVEL: &str = "error, warn, info, debug, trace, or a list such as \"info,gossip=debug\" (of api, control, datapath, gossip, path)";

/// Whether `text` is a list of levels and `TARGET=LEVEL`.
pub(super) fn is_log_level(text: &str) -> bool {
    text.parse::<Settings>().is_ok()
}

/// What [`is_unicast`] allows.
pub(super) const UNICAST: &str = "an address of one host, neither unspecified, multicast nor link-local";

/// Whether an underlay address can be that of a host. IPv6 link-local ones would need a device with them.
pub(super) fn is_unicast(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(ip.is_unspecified() || ip.is_multicast() || link_local)
}

/// What [`is_socket_path`] allows.
pub(super) const SOCKET: &str = "an absolute path of at most 107 octets";

/// Whether `path` fits into a `sockaddr_un`.
pub(super) fn is_socket_path(path: &Path) -> bool {
    path.is_absolute() && path.as_os_str().len() <= 107
}

/// The name of this host, or `node` when it has none that [`is_name`] allows.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if is_name(name) { name.to_owned() } else { "node".to_owned() }
}
