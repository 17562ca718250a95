//! The addresses of a host, and how fit they are to be found at.

use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::{Links, local_address};
use crate::sys::netlink::Verb;

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The address.
    pub ip: IpAddr,
    /// Number of the link that has it.
    pub link: u32,
    /// How fit it is to be found at.
    pub fitness: Fitness,
}

/// How fit an address is to be found at by other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// It is there to stay.
    Lasting,
    /// It works, but others should not rely on it: temporary ([RFC 8981]), deprecated, or of the link only.
    ///
    /// [RFC 8981]: https://www.rfc-editor.org/rfc/rfc8981
    Passing,
    /// It does not work yet: the kernel still asks whether another host has it ([RFC 4862 §5.4]).
    ///
    /// [RFC 4862 §5.4]: https://www.rfc-editor.org/rfc/rfc4862#section-5.4
    Tentative,
}

impl Links {
    /// The addresses of all links, in the kernel's order. Left out are those that nobody can be found at: IPv6 ones of a
    /// link only, which mean nothing without its name, and those that another host turned out to have.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn addresses(&self) -> io::Result<Vec<LinkAddress>> {
        let answers = self.netlink.request(Verb::Dump, Message::GetAddress(AddressMessage::default()))?;
        let address = |answer: &Message| match answer {
            Message::NewAddress(message) => read_address(message),
            _ => None,
        };
        Ok(answers.iter().filter_map(address).collect())
    }
}

fn read_address(message: &AddressMessage) -> Option<LinkAddress> {
    let ip = local_address(message)?;
    let flags = flags(message);
    // The kernel has one bit for a temporary IPv6 address and a second IPv4 one.
    let temporary = ip.is_ipv6() && flags.contains(AddressFlags::Secondary);
    let (fails, of_link_only) = match ip {
        IpAddr::V4(ip) => (false, ip.is_link_local()),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), false),
    };
    if fails || flags.contains(AddressFlags::Dadfailed) {
        return None;
    }
    let fitness = if flags.contains(AddressFlags::Tentative) {
        Fitness::Tentative
    } else if temporary || of_link_only || flags.contains(AddressFlags::Deprecated) {
        Fitness::Passing
    } else {
        Fitness::Lasting
    };
    Some(LinkAddress { ip, link: message.header.index, fitness })
}

/// The flags of an address: those of the header are the first eight, which older kernels send alone.
fn flags(message: &AddressMessage) -> AddressFlags {
    let all = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    all.unwrap_or_else(|| AddressFlags::from_bits_retain(message.header.flags.bits().into()))
}

#[cfg(test)]
mod tests;
