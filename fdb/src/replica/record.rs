//! What a node says: records, their keys, and both as octets.

use std::net::IpAddr;

use encap::{Format, MacAddr, Vni, VtepAddr};
use thiserror::Error;

use super::octets::{Reader, WireError};
use crate::gossip::identity::BootId;
use crate::octets::{put_ip, put_varint};

/// The octets of a key, its kind not counted.
pub const MAX_KEY: usize = 64;
/// The octets of a value: a record fits a datagram.
pub const MAX_VALUE: usize = 896;
/// The IP addresses of one MAC address.
pub const MAX_IPS: usize = 32;
/// The networks of a shared VTEP.
pub const MAX_VNIS: usize = 256;
/// The octets of a node's name, and of its version.
pub const MAX_TEXT: usize = 253;

const NODE: u8 = 1;
const VNI: u8 = 2;
const MAC: u8 = 3;
const VTEP: u8 = 4;

/// What a record is about: one node says at most one thing about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The node itself.
    NodeInfo,
    /// The node has a network.
    VniJoin(Vni),
    /// A MAC address in a network.
    Mac(Vni, MacAddr),
    /// A static VTEP that the node shares.
    Vtep(VtepAddr),
    /// Of a kind that this node does not know; at most [`MAX_KEY`] octets.
    Opaque(u8, Box<[u8]>),
}

/// What a node says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// How to reach the node.
    NodeInfo(NodeInfo),
    /// The node has this network, so it wants what is flooded there.
    VniJoin(Vni),
    /// An address that lives behind the node.
    Mac(MacRecord),
    /// A VTEP that does not speak gossip: all nodes hear it and flood to it.
    Vtep(VtepRecord),
    /// Of a kind that this node does not know: carried as it is.
    Opaque {
        /// The kind.
        kind: u8,
        /// At most [`MAX_KEY`] octets.
        key: Box<[u8]>,
        /// At most [`MAX_VALUE`] octets.
        value: Box<[u8]>,
    },
}

/// How to reach a node, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Underlay address of its VTEPs, IPv4.
    pub v4: Option<std::net::Ipv4Addr>,
    /// Underlay address of its VTEPs, IPv6.
    pub v6: Option<std::net::Ipv6Addr>,
    /// UDP port of its VXLAN VTEP.
    pub vxlan_port: u16,
    /// UDP port of its Geneve VTEP.
    pub geneve_port: u16,
    /// What it likes to be sent.
    pub format: Format,
    /// Its name, at most [`MAX_TEXT`] octets.
    pub name: String,
    /// Its software, at most [`MAX_TEXT`] octets.
    pub version: String,
    /// This start of it.
    pub boot: BootId,
}

/// A MAC address behind a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacRecord {
    /// Its network.
    pub vni: Vni,
    /// The address.
    pub mac: MacAddr,
    /// Its IP addresses, at most [`MAX_IPS`].
    pub ips: Vec<IpAddr>,
    /// The static VTEP behind which it is; `None`: a port of the node.
    pub dst: Option<VtepAddr>,
    /// The mobility sequence number of RFC 7432 §7.7: 0 where it was first seen.
    pub mob_seq: u32,
    /// It is configured and never moves.
    pub is_static: bool,
    /// It is a router: what an advertisement for its addresses says (the R flag of RFC 4861 §4.4).
    pub router: bool,
}

/// A static VTEP that a node shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VtepRecord {
    /// Where it is.
    pub at: VtepAddr,
    /// What it is sent.
    pub format: Format,
    /// Its networks, at most [`MAX_VNIS`].
    pub vnis: Vec<Vni>,
}

/// Octets, or a record, that are none of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Longer than a record may be.
    #[error("{what} of a record is {len}, the limit is {limit}: refused; make it smaller")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// What it is.
        len: usize,
        /// What it may be.
        limit: usize,
    },
    /// Not what its kind prescribes.
    #[error("record of kind {kind} does not read as one: refused; its sender is at fault")]
    Malformed {
        /// The kind.
        kind: u8,
    },
}

impl Record {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::NodeInfo(_) => Key::NodeInfo,
            Self::VniJoin(vni) => Key::VniJoin(*vni),
            Self::Mac(mac) => Key::Mac(mac.vni, mac.mac),
            Self::Vtep(vtep) => Key::Vtep(vtep.at),
            Self::Opaque { kind, key, .. } => Key::Opaque(*kind, key.clone()),
        }
    }

    /// Its value as octets.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if a part is longer than it may be, or an opaque record has a kind that is not opaque.
    pub(super) fn encode_value(&self) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::new();
        match self {
            Self::NodeInfo(info) => info.encode(&mut out)?,
            Self::VniJoin(_) => {}
            Self::Mac(mac) => mac.encode(&mut out)?,
            Self::Vtep(vtep) => vtep.encode(&mut out)?,
            Self::Opaque { kind, key, value } => {
                if (NODE..=VTEP).contains(kind) {
                    return Err(RecordError::Malformed { kind: *kind });
                }
                within("key", key.len(), MAX_KEY)?;
                out.extend_from_slice(value);
            }
        }
        within("value", out.len(), MAX_VALUE)?;
        Ok(out)
    }

    /// Reads a record: `key` with its kind in front, as [`Key::octets`] writes it.
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let kind = key.first().copied().unwrap_or_default();
        let malformed = |_: WireError| RecordError::Malformed { kind };
        within("value", value.len(), MAX_VALUE)?;
        Ok(match Key::decode(key)? {
            Key::NodeInfo => Self::NodeInfo(NodeInfo::decode(value).map_err(malformed)?),
            Key::VniJoin(vni) if value.is_empty() => Self::VniJoin(vni),
            Key::VniJoin(_) => return Err(RecordError::Malformed { kind }),
            Key::Mac(vni, mac) => Self::Mac(MacRecord::decode(vni, mac, value).map_err(malformed)?),
            Key::Vtep(at) => Self::Vtep(VtepRecord::decode(at, value).map_err(malformed)?),
            Key::Opaque(kind, key) => Self::Opaque { kind, key, value: value.into() },
        })
    }
}

impl Key {
    /// The kind, then what identifies it.
    pub(super) fn octets(&self) -> Vec<u8> {
        match self {
            Self::NodeInfo => vec![NODE],
            Self::VniJoin(vni) => [&[VNI][..], &vni.octets()].concat(),
            Self::Mac(vni, mac) => [&[MAC][..], &vni.octets(), &mac.octets()].concat(),
            Self::Vtep(at) => {
                let mut octets = vec![VTEP];
                put_vtep(&mut octets, *at);
                octets
            }
            Self::Opaque(kind, key) => [&[*kind][..], key].concat(),
        }
    }

    pub(super) fn decode(octets: &[u8]) -> Result<Self, RecordError> {
        let [kind, key @ ..] = octets else { return Err(RecordError::Malformed { kind: 0 }) };
        within("key", key.len(), MAX_KEY)?;
        Ok(match (*kind, key) {
            (NODE, []) => Self::NodeInfo,
            (VNI, [a, b, c]) => Self::VniJoin(Vni::from_octets([*a, *b, *c])),
            (MAC, [a, b, c, m @ ..]) => {
                let mac = m.try_into().map_err(|_| RecordError::Malformed { kind: MAC })?;
                Self::Mac(Vni::from_octets([*a, *b, *c]), MacAddr::new(mac))
            }
            (VTEP, octets) => {
                let mut reader = Reader::new(octets);
                let malformed = |_| RecordError::Malformed { kind: VTEP };
                let at = vtep(&mut reader).map_err(malformed)?;
                reader.end().map_err(malformed)?;
                Self::Vtep(at)
            }
            (NODE..=VTEP, _) => return Err(RecordError::Malformed { kind: *kind }),
            _ => Self::Opaque(*kind, key.into()),
        })
    }
}

const fn within(what: &'static str, len: usize, limit: usize) -> Result<(), RecordError> {
    if len > limit { Err(RecordError::TooLong { what, len, limit }) } else { Ok(()) }
}

impl NodeInfo {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        out.push(u8::from(self.v4.is_some()) | u8::from(self.v6.is_some()) << 1);
        out.extend(self.v4.iter().flat_map(std::net::Ipv4Addr::octets));
        out.extend(self.v6.iter().flat_map(std::net::Ipv6Addr::octets));
        out.extend(self.vxlan_port.to_be_bytes());
        out.extend(self.geneve_port.to_be_bytes());
        put_format(out, self.format);
        out.extend(self.boot.get().to_be_bytes());
        for text in [&self.name, &self.version] {
            within("text", text.len(), MAX_TEXT)?;
            put_varint(out, text.len() as u64);
            out.extend(text.bytes());
        }
        Ok(())
    }

    fn decode(value: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let flags = reader.u8()?;
        if flags > 3 {
            return Err(WireError::Value { what: "flag" });
        }
        let v4 = if flags & 1 == 0 { None } else { Some(reader.array::<4>()?.into()) };
        let v6 = if flags & 2 == 0 { None } else { Some(reader.array::<16>()?.into()) };
        let (vxlan_port, geneve_port) = (reader.u16()?, reader.u16()?);
        let format = format(&mut reader)?;
        let boot = BootId::new(reader.u128()?);
        let (name, version) = (text(&mut reader)?, text(&mut reader)?);
        reader.end()?;
        Ok(Self { v4, v6, vxlan_port, geneve_port, format, name, version, boot })
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, WireError> {
    let wrong = WireError::Value { what: "text" };
    let len = usize::try_from(reader.varint()?).ok().filter(|len| *len <= MAX_TEXT).ok_or(wrong)?;
    std::str::from_utf8(reader.take(len)?).map(Into::into).map_err(|_| wrong)
}

impl MacRecord {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        within("number of IP addresses", self.ips.len(), MAX_IPS)?;
        out.push(u8::from(self.is_static) | u8::from(self.dst.is_some()) << 1 | u8::from(self.router) << 2);
        put_varint(out, self.mob_seq.into());
        put_varint(out, self.ips.len() as u64);
        for ip in &self.ips {
            put_ip(out, *ip);
        }
        self.dst.iter().for_each(|dst| put_vtep(out, *dst));
        Ok(())
    }

    fn decode(vni: Vni, mac: MacAddr, value: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let flags = reader.u8()?;
        if flags > 7 {
            return Err(WireError::Value { what: "flag" });
        }
        let mob_seq = u32::try_from(reader.varint()?).map_err(|_| WireError::Value { what: "number" })?;
        let count = reader.varint()?;
        if count > MAX_IPS as u64 {
            return Err(WireError::Value { what: "number of addresses" });
        }
        let ips = (0..count).map(|_| ip(&mut reader)).collect::<Result<_, _>>()?;
        let dst = if flags & 2 == 0 { None } else { Some(vtep(&mut reader)?) };
        reader.end()?;
        Ok(Self { vni, mac, ips, dst, mob_seq, is_static: flags & 1 != 0, router: flags & 4 != 0 })
    }
}

impl VtepRecord {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        within("number of networks", self.vnis.len(), MAX_VNIS)?;
        put_format(out, self.format);
        put_varint(out, self.vnis.len() as u64);
        out.extend(self.vnis.iter().flat_map(|vni| vni.octets()));
        Ok(())
    }

    fn decode(at: VtepAddr, value: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let format = format(&mut reader)?;
        let count = reader.varint()?;
        if count > MAX_VNIS as u64 {
            return Err(WireError::Value { what: "number of networks" });
        }
        let vnis =
            (0..count).map(|_| Ok(Vni::from_octets(reader.array()?))).collect::<Result<_, WireError>>()?;
        reader.end()?;
        Ok(Self { at, format, vnis })
    }
}

fn put_format(out: &mut Vec<u8>, format: Format) {
    out.push(match format {
        Format::Vxlan => 0,
        Format::Geneve => 1,
    });
}

fn format(reader: &mut Reader<'_>) -> Result<Format, WireError> {
    match reader.u8()? {
        0 => Ok(Format::Vxlan),
        1 => Ok(Format::Geneve),
        _ => Err(WireError::Value { what: "format" }),
    }
}

fn put_vtep(out: &mut Vec<u8>, at: VtepAddr) {
    put_ip(out, at.ip());
    out.extend(at.port().to_be_bytes());
}

fn vtep(reader: &mut Reader<'_>) -> Result<VtepAddr, WireError> {
    let (ip, port) = (ip(reader)?, reader.u16()?);
    // A VTEP that can be written in two ways would be two keys of one name.
    if ip != ip.to_canonical() {
        return Err(WireError::Value { what: "address" });
    }
    Ok(VtepAddr::new(ip, port))
}

fn ip(reader: &mut Reader<'_>) -> Result<IpAddr, WireError> {
    match reader.u8()? {
        4 => Ok(IpAddr::from(reader.array::<4>()?)),
        6 => Ok(IpAddr::from(reader.array::<16>()?)),
        _ => Err(WireError::Value { what: "address" }),
    }
}
