//! Where packets go: routes of a namespace, and the links and source addresses that they lead to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use encap::Mtu;
use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType,
};

use super::{Link, Links, explain};
use crate::sys::netlink::Verb;

/// The most routes that are told of at a time.
pub const MAX_ROUTES: usize = 64;

impl Links {
    /// The MTU of the path's first hop: of the link that a packet from `from` to `to` leaves through, or of its route
    /// where an administrator set one (`ip route ... mtu`). `None` = no route.
    ///
    /// What the kernel learned from ICMP is left out: anybody can forge it. An unspecified `from` leaves the choice to
    /// the kernel.
    ///
    /// # Errors
    ///
    /// The kernel's refusal otherwise.
    pub fn link_mtu_to(&self, to: IpAddr, from: IpAddr) -> io::Result<Option<Mtu>> {
        let Some((route, link)) = self.route_to(to, from)? else { return Ok(None) };
        let octets = route.mtu.unwrap_or(link.mtu).min(link.mtu).clamp(Mtu::MIN.into(), Mtu::MAX.into());
        Ok(Mtu::new(octets).ok())
    }

    /// The name of the link that a packet from `from` to `to` leaves through. `None` = no route.
    ///
    /// # Errors
    ///
    /// The kernel's refusal otherwise.
    pub fn link_name_to(&self, to: IpAddr, from: IpAddr) -> io::Result<Option<String>> {
        Ok(self.route_to(to, from)?.map(|(_, link)| link.name))
    }

    fn route_to(&self, to: IpAddr, from: IpAddr) -> io::Result<Option<(Route, Link)>> {
        let answers = match self.netlink.request(Verb::Get, Message::GetRoute(route_query(to, from))) {
            Err(error) if is_no_route(&error) => return Ok(None),
            answers => {
                answers.map_err(|e| explain(&e, &format!("cannot look up the route from {from} to {to}")))?
            }
        };
        let Some(route) = answers.iter().find_map(read_route) else { return Ok(None) };
        Ok(self.by_index(route.link)?.map(|link| (route, link)))
    }

    /// The routes of the main table that are `wanted`, each with the name of its link; at most [`MAX_ROUTES`]. Default
    /// routes are none of them.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    ///
    /// # Cost
    ///
    /// The kernel tells all its routes, a microsecond or two each.
    pub fn routes(&self, wanted: impl Fn(IpNet) -> bool) -> io::Result<Vec<(IpNet, String)>> {
        let mut found = Vec::new();
        self.netlink.visit(Verb::Dump, Message::GetRoute(RouteMessage::default()), |answer| {
            let route = destination(&answer).filter(|(net, _)| net.prefix_len() > 0 && wanted(*net));
            found.extend(route.filter(|_| found.len() < MAX_ROUTES));
        })?;
        let mut named = Vec::new();
        for (net, index) in found {
            named.extend(self.by_index(index)?.map(|link| (net, link.name)));
        }
        Ok(named)
    }
}

/// An address of each family that is out in the world: the way to it is the default route. Nothing is ever sent there.
pub const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The address that the namespace uses to reach `to`; asks the kernel by a socket that sends nothing.
///
/// # Errors
///
/// What the kernel says when there is no route.
///
/// # Examples
///
/// ```
/// use std::net::{IpAddr, Ipv4Addr};
///
/// let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
/// assert_eq!(weft::io::link::source_address_to(loopback)?, loopback);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn source_address_to(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((to, 9)).map_err(|e| explain(&e, &format!("there is no route to {to}")))?;
    Ok(socket.local_addr()?.ip())
}

fn is_no_route(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES))
}

fn route_query(to: IpAddr, from: IpAddr) -> RouteMessage {
    let mut message = match to {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32).build(),
        IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 128).build(),
    };
    if !from.is_unspecified() {
        message.header.source_prefix_length = if from.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Source(from.into()));
    }
    message
}

/// Where a unicast route of the main table leads to, and through which link.
fn destination(answer: &Message) -> Option<(IpNet, u32)> {
    let Message::NewRoute(message) = answer else { return None };
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let to = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })?;
    let net = IpNet::new(to, header.destination_prefix_length).ok()?;
    Some((net, read_route(answer)?.link))
}

/// What the kernel says about a route.
struct Route {
    link: u32,
    mtu: Option<u32>,
}

fn read_route(answer: &Message) -> Option<Route> {
    let Message::NewRoute(message) = answer else { return None };
    let mut route = Route { link: 0, mtu: None };
    let mut learned = false;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.link = *index,
            // Only what ICMP taught expires.
            RouteAttribute::CacheInfo(cache) => learned = cache.expires != 0,
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    if learned {
        route.mtu = None;
    }
    (route.link != 0).then_some(route)
}
