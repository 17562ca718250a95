//! Who holds a UDP port: a process, or a tunnel device of the kernel.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rtnetlink::packet_route::link::{InfoData, InfoGeneve, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage};

use super::link::Links;

/// Names who holds a UDP port of the calling thread's namespace, for a message to a person; `None` = nobody, or it
/// cannot be told.
///
/// A holder of the unspecified address counts too: it keeps everybody else off the port. Examples of answers:
/// `openvpn (pid 812)`, `kernel VXLAN device vx0 (VNI 7)`.
#[must_use]
pub fn udp_port_owner(address: IpAddr, port: u16) -> Option<String> {
    let tables = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let sockets = tables.iter().filter_map(|path| fs::read_to_string(path).ok());
    let sockets: Vec<_> =
        sockets.flat_map(|table| table.lines().filter_map(parse_socket).collect::<Vec<_>>()).collect();
    let held: Vec<_> = sockets.iter().filter(|s| s.port == port && overlap(s.address, address)).collect();
    let inode = held.first()?.inode;
    held.iter()
        .find_map(|socket| process_of(socket.inode))
        .or_else(|| tunnel_device(port).ok().flatten())
        .or_else(|| Some(format!("a process that this user may not see (socket inode {inode})")))
}

/// One line of `/proc/net/udp` or `udp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UdpSocket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

fn parse_socket(line: &str) -> Option<UdpSocket> {
    let mut fields = line.split_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let inode = fields.nth(7)?.parse().ok()?;
    Some(UdpSocket { address: parse_address(address)?, port: u16::from_str_radix(port, 16).ok()?, inode })
}

/// An address as `/proc` writes it: words of 32 bits in the order of the machine.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (chunk, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                chunk.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

/// Whether a socket on `held` keeps another off `wanted`: the same address, or everything. A socket on `::` usually
/// takes IPv4 too.
fn overlap(held: IpAddr, wanted: IpAddr) -> bool {
    let (held, wanted) = (held.to_canonical(), wanted.to_canonical());
    let any = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    held == wanted || any(held, wanted) || any(wanted, held)
}

fn process_of(inode: u64) -> Option<String> {
    let name = format!("socket:[{inode}]");
    let process = fs::read_dir("/proc").ok()?.filter_map(Result::ok).find(|process| {
        let numeric = process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        numeric && has_open(&process.path(), &name)
    })?;
    let command = fs::read_to_string(process.path().join("comm")).unwrap_or_else(|_| "a process".to_owned());
    Some(format!("{} (pid {})", command.trim_end(), process.file_name().to_string_lossy()))
}

fn has_open(process: &Path, name: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.filter_map(Result::ok).any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == name))
}

/// The VXLAN or Geneve device of the kernel that uses a UDP port.
fn tunnel_device(port: u16) -> io::Result<Option<String>> {
    Ok(Links::open()?.messages()?.iter().find_map(|link| describe_tunnel(link, port)))
}

fn describe_tunnel(link: &LinkMessage, port: u16) -> Option<String> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })?;
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(settings)) => settings.contains(&InfoVxlan::Port(port)).then(|| {
            let vni =
                settings.iter().find_map(|s| if let InfoVxlan::Id(vni) = s { Some(*vni) } else { None });
            let external = settings.contains(&InfoVxlan::CollectMetadata(true));
            format!("kernel VXLAN device {name} ({})", vni_text(vni, external))
        }),
        LinkInfo::Data(InfoData::Geneve(settings)) => settings.contains(&InfoGeneve::Port(port)).then(|| {
            let vni =
                settings.iter().find_map(|s| if let InfoGeneve::Id(vni) = s { Some(*vni) } else { None });
            let external = settings.contains(&InfoGeneve::CollectMetadata);
            format!("kernel Geneve device {name} ({})", vni_text(vni, external))
        }),
        _ => None,
    })
}

/// A device that an Open vSwitch or eBPF drives has no VNI of its own.
fn vni_text(vni: Option<u32>, external: bool) -> String {
    match vni {
        Some(vni) if !external => format!("VNI {vni}"),
        _ => "any VNI".to_owned(),
    }
}

#[cfg(test)]
mod tests;
