//! Who holds a UDP port: a process, or a tunnel device of the kernel.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rtnetlink::packet_route::link::{
    InfoData, InfoGeneve, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::link::Links;
use super::netns::{NetnsRef, run_in};

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";

/// Who holds a UDP port, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `openvpn (pid 812)`, `kernel VXLAN device vx0 (VNI 7)`.
    pub name: String,
    /// What to do about it, as the beginning of a sentence.
    pub remedy: String,
}

/// Names who holds a UDP port of the calling thread's namespace, for a message to a person; `None` = nobody.
///
/// A holder of the unspecified address counts too: it keeps everybody else off the port. A device of the kernel that was
/// moved to another namespace keeps its socket in this one; it is looked for in those that `ip netns` knows.
#[must_use]
pub fn udp_port_owner(address: IpAddr, port: u16) -> Option<Owner> {
    let tables = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let tables: Vec<_> = tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(parse_socket);
    let mut held: Vec<_> = sockets.filter(|s| s.port == port && overlap(s.address, address)).collect();
    // The same address is surely in the way, the other family's wildcard only perhaps.
    held.sort_by_key(|s| (s.address != address, s.address.is_ipv4() != address.is_ipv4()));
    held.first()?;
    held.iter()
        .find_map(|socket| process_of(socket.inode))
        .or_else(|| tunnel_device(port).ok().flatten())
        .or_else(|| moved_device(port))
        .or_else(|| Some(unknown()))
}

fn unknown() -> Owner {
    Owner {
        name: "a process that cannot be seen from here, or a device of the kernel that was moved to another network \
               namespace"
            .to_owned(),
        remedy: "find it, as root, with `ss -ulnp` and `ip -all netns exec ip -d link show`".to_owned(),
    }
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

fn process_of(inode: u64) -> Option<Owner> {
    let name = format!("socket:[{inode}]");
    let process = fs::read_dir("/proc").ok()?.filter_map(Result::ok).find(|process| {
        let numeric = process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        numeric && has_open(&process.path(), &name)
    })?;
    let command = fs::read_to_string(process.path().join("comm")).unwrap_or_else(|_| "a process".to_owned());
    let pid = process.file_name().to_string_lossy().into_owned();
    Some(Owner {
        name: format!("{} (pid {pid})", command.trim_end()),
        remedy: format!("stop it (`systemctl status {pid}` tells its service)"),
    })
}

fn has_open(process: &Path, name: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.filter_map(Result::ok).any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == name))
}

/// The VXLAN or Geneve device of the kernel, in this namespace, that uses a UDP port.
fn tunnel_device(port: u16) -> io::Result<Option<Owner>> {
    let links = Links::open()?.messages()?;
    let tunnel = links.iter().filter(|link| has_socket(link)).find_map(|link| describe_tunnel(link, port));
    Ok(tunnel.map(|(device, name)| Owner { name, remedy: format!("remove it with `ip link del {device}`") }))
}

/// The same in another namespace, with its socket elsewhere, perhaps here: a guess, made only when nobody else can be
/// found, and told as one.
fn moved_device(port: u16) -> Option<Owner> {
    fs::read_dir(NAMESPACES).ok()?.filter_map(Result::ok).find_map(|file| {
        let namespace = file.file_name().to_string_lossy().into_owned();
        let netns = NetnsRef::Path(file.path()).open().ok()?;
        let links = run_in(&netns, || Links::open()?.messages()).ok()?;
        let moved = |link: &&LinkMessage| {
            has_socket(link) && link.attributes.iter().any(|a| matches!(a, LinkAttribute::LinkNetNsId(_)))
        };
        let (device, name) = links.iter().filter(moved).find_map(|link| describe_tunnel(link, port))?;
        Some(Owner {
            name: format!("perhaps {name}, which was moved to the network namespace {namespace}"),
            remedy: format!(
                "if `ip -n {namespace} -d link show {device}` shows it to be of this host, remove it with `ip -n \
                 {namespace} link del {device}`"
            ),
        })
    })
}

/// A tunnel device has its socket while it is up.
fn has_socket(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up)
}

/// The name of a tunnel device on this port, and the name with what it is.
fn describe_tunnel(link: &LinkMessage, port: u16) -> Option<(String, String)> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })?;
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    let what = infos.iter().find_map(|info| match info {
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
    })?;
    Some((name.clone(), what))
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
