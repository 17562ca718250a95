//! The checked numbers that every crate shares: checked once when made, trusted afterwards.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A VXLAN or Geneve network identifier: 24 bits, 0 to 16,777,215 ([RFC 7348 §5], [RFC 8926 §3.4]).
///
/// # Examples
///
/// ```
/// use encap::Vni;
///
/// assert_eq!(Vni::new(100)?.get(), 100);
/// assert!(Vni::new(1 << 24).is_err());
/// # Ok::<(), encap::types::VniError>(())
/// ```
///
/// [RFC 7348 §5]: https://www.rfc-editor.org/rfc/rfc7348#section-5
/// [RFC 8926 §3.4]: https://www.rfc-editor.org/rfc/rfc8926#section-3.4
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

impl Vni {
    /// The largest identifier that 24 bits hold.
    pub const MAX: Self = Self(0xff_ffff);

    /// Checks a number.
    ///
    /// # Errors
    ///
    /// [`VniError`] when `value` needs more than 24 bits.
    pub const fn new(value: u32) -> Result<Self, VniError> {
        if value > Self::MAX.0 { Err(VniError { value }) } else { Ok(Self(value)) }
    }

    /// The identifier out of the three octets of a header; every value is valid.
    #[must_use]
    pub const fn from_octets(octets: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, octets[0], octets[1], octets[2]]))
    }

    /// The three octets of a header, network byte order.
    #[must_use]
    pub const fn octets(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A number that is no [`Vni`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VNI {value} is outside 0..=16777215 (24 bits)")]
pub struct VniError {
    value: u32,
}

impl TryFrom<u32> for Vni {
    type Error = VniError;
    fn try_from(value: u32) -> Result<Self, VniError> {
        Self::new(value)
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 48-bit Ethernet address.
///
/// # Examples
///
/// ```
/// use encap::MacAddr;
///
/// let mac: MacAddr = "02:00:00:00:00:01".parse()?;
/// assert!(!mac.is_group());
/// assert_eq!(mac.to_string(), "02:00:00:00:00:01");
/// assert!("02:00".parse::<MacAddr>().is_err());
/// # Ok::<(), encap::types::MacAddrError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// An address out of its octets, in the order of the wire.
    #[must_use]
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The octets in the order of the wire.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether this is a group (multicast or broadcast) address: the lowest bit of the first octet.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is ff:ff:ff:ff:ff:ff.
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// Whether this is 00:00:00:00:00:00.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// Whether this is 01-80-C2-00-00-00 to -0F, which bridges do not forward (IEEE 802.1D, table 7-10).
    #[must_use]
    pub const fn is_link_local(self) -> bool {
        self.to_u64() & !0xf == 0x0180_c200_0000
    }

    /// The address as a number below 2^48.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

/// Text that is no [`MacAddr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a MAC address such as 02:00:00:00:00:01")]
pub struct MacAddrError {
    text: String,
}

impl FromStr for MacAddr {
    type Err = MacAddrError;
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        let complete = octets.iter_mut().all(|octet| {
            let part = parts.next().filter(|p| p.len() == 2);
            let value = part.and_then(|p| u8::from_str_radix(p, 16).ok());
            value.map(|v| *octet = v).is_some()
        });
        if complete && parts.next().is_none() {
            Ok(Self(octets))
        } else {
            Err(MacAddrError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacAddrError;
    fn try_from(text: String) -> Result<Self, MacAddrError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A local port: a TAP attached to a network. Given by the daemon, never reused while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(u32);

impl PortId {
    /// An identifier out of its number.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The underlay IP address and UDP port that terminate a tunnel on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VtepAddr(SocketAddr);

impl VtepAddr {
    /// A VTEP out of its address and UDP port; an IPv4 address mapped into IPv6 becomes IPv4.
    #[must_use]
    #[inline]
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self(SocketAddr::new(ip.to_canonical(), port))
    }

    /// The underlay address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0.ip()
    }

    /// The UDP port.
    #[must_use]
    pub const fn port(self) -> u16 {
        self.0.port()
    }

    /// Both as a socket address.
    #[must_use]
    pub const fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl From<SocketAddr> for VtepAddr {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl fmt::Display for VtepAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IP MTU: the octets of the largest IP packet, headers of IP included, link headers not. 68 to 65,535.
///
/// # Examples
///
/// ```
/// use encap::Mtu;
///
/// assert_eq!(Mtu::new(1500)?.get(), 1500);
/// assert!(Mtu::new(67).is_err());
/// # Ok::<(), encap::types::MtuError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Mtu(u16);

impl Mtu {
    /// The smallest MTU an IPv4 link may have (RFC 791).
    pub const MIN: Self = Self(68);
    /// The largest IPv4 packet.
    pub const MAX: Self = Self(u16::MAX);
    /// The smallest MTU an IPv6 link may have (RFC 8200 §5); a port is never set below it.
    pub const IPV6_MIN: Self = Self(1280);

    /// Checks a number of octets.
    ///
    /// # Errors
    ///
    /// [`MtuError`] when `octets` is outside 68..=65535.
    #[allow(clippy::cast_possible_truncation)] // the range was checked
    pub const fn new(octets: u32) -> Result<Self, MtuError> {
        if octets < Self::MIN.0 as u32 || octets > Self::MAX.0 as u32 {
            Err(MtuError { octets })
        } else {
            Ok(Self(octets as u16))
        }
    }

    /// The octets.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A number that is no [`Mtu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MTU {octets} is outside 68..=65535")]
pub struct MtuError {
    octets: u32,
}

impl TryFrom<u32> for Mtu {
    type Error = MtuError;
    fn try_from(octets: u32) -> Result<Self, MtuError> {
        Self::new(octets)
    }
}

impl From<Mtu> for u32 {
    fn from(mtu: Mtu) -> Self {
        Self::from(mtu.0)
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Vni {
    type Err = ParseVniError;
    fn from_str(text: &str) -> Result<Self, ParseVniError> {
        Ok(Self::new(text.parse::<u32>()?)?)
    }
}

/// Text that is no [`Vni`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseVniError {
    /// Not a decimal number.
    #[error("not a number: {0}")]
    Number(#[from] ParseIntError),
    /// A number that is too large.
    #[error(transparent)]
    Range(#[from] VniError),
}

/// The two encapsulations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// VXLAN, RFC 7348.
    Vxlan,
    /// Geneve, RFC 8926.
    Geneve,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
        })
    }
}
