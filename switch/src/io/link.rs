//! Links and their addresses in one network namespace, over rtnetlink; `route` is where packets go.
//!
//! [`Links`] acts in the namespace that its thread was in when it was opened, wherever it is used later.

mod addresses;
mod route;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use encap::{MacAddr, Mtu};
use ipnet::IpNet;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_route::RouteNetlinkMessage as Message;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::io::unix::AsyncFd;

pub use self::addresses::{Fitness, LinkAddress};
pub use self::route::{ANYWHERE, MAX_ROUTES, source_address_to};
use super::netns::Netns;
use crate::sys::netlink::{Rtnetlink, Subscription, Verb};

/// A network device as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Number of the device in its namespace.
    pub index: u32,
    /// Name of the device in its namespace.
    pub name: String,
    /// Its MAC address; `None` when it has none (tunnels on layer 3).
    pub mac: Option<MacAddr>,
    /// Octets of the largest IP packet; the loopback's 65,536 is why this is no [`Mtu`].
    pub mtu: u32,
    /// Whether it was set up; the cable may still be out.
    pub up: bool,
    /// The kernel's word for what it is, such as `veth`, `bridge` or `tun`; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Frames that it could not take: for a TAP, those that found its queue full.
    pub dropped: u64,
}

impl Link {
    /// Whether it leads nowhere: a loopback or a dummy device.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.name == "lo" || self.kind.as_deref() == Some("dummy")
    }
}

/// What [`Links::configure`] sets; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkSetup {
    /// The MTU.
    pub mtu: Option<Mtu>,
    /// The MAC address.
    pub mac: Option<MacAddr>,
    /// Length of the transmit queue, in packets.
    pub txqueuelen: Option<u32>,
    /// The largest super-frame that the kernel hands to the device, in octets.
    pub gso_max_size: Option<u32>,
    /// Addresses that it gets besides those it has.
    pub addresses: Vec<IpNet>,
    /// A default route through it; needs `up`, here or earlier.
    pub gateway: Option<IpAddr>,
    /// True sets it up; false leaves it as it is.
    pub up: bool,
}

/// A handle on the links of one network namespace.
///
/// # Examples
///
/// ```
/// use weft::io::link::Links;
///
/// let loopback = Links::open()?.by_name("lo")?.ok_or(std::io::ErrorKind::NotFound)?;
/// assert_eq!((loopback.index, loopback.name.as_str()), (1, "lo"));
/// assert!(Links::open()?.by_name("no-such-link")?.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Links {
    netlink: Rtnetlink,
}

/// Tells that links, addresses or routes of a namespace changed, not which.
#[derive(Debug)]
pub struct Changes {
    subscription: AsyncFd<Subscription>,
}

impl Changes {
    /// Listens in the calling thread's namespace; only inside of an asynchronous runtime.
    ///
    /// # Errors
    ///
    /// The system's refusal of a netlink socket.
    pub fn open() -> io::Result<Self> {
        let subscription = Subscription::open().and_then(Subscription::register);
        let explained = |e| explain(&e, "cannot listen for changes of links and routes");
        Ok(Self { subscription: subscription.map_err(explained)? })
    }

    /// Waits until something changed since this was asked last.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub async fn next(&self) -> io::Result<()> {
        loop {
            self.subscription.readable().await?.clear_ready();
            if self.subscription.get_ref().drain()? {
                return Ok(());
            }
        }
    }
}

impl Links {
    /// Opens the links of the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// The system's refusal of a netlink socket.
    pub fn open() -> io::Result<Self> {
        Ok(Self { netlink: Rtnetlink::open().map_err(|e| explain(&e, "cannot open a netlink socket"))? })
    }

    /// The link of that name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// What the kernel answers otherwise.
    pub fn by_name(&self, name: &str) -> io::Result<Option<Link>> {
        let request = LinkUnspec::new_with_name(name).build();
        self.get(request).map_err(|e| explain(&e, &format!("cannot look up link {name}")))
    }

    /// The link of that number; `None` when there is none.
    ///
    /// # Errors
    ///
    /// What the kernel answers otherwise.
    pub fn by_index(&self, index: u32) -> io::Result<Option<Link>> {
        let request = LinkUnspec::new_with_index(index).build();
        self.get(request).map_err(|e| explain(&e, &format!("cannot look up link {index}")))
    }

    /// The link that carries an address; `None` when no link does.
    ///
    /// # Errors
    ///
    /// What the kernel answers otherwise.
    pub fn by_address(&self, address: IpAddr) -> io::Result<Option<Link>> {
        let answers = self.netlink.request(Verb::Dump, Message::GetAddress(AddressMessage::default()))?;
        let carrier = answers.iter().find_map(|answer| match answer {
            Message::NewAddress(message) if local_address(message) == Some(address) => {
                Some(message.header.index)
            }
            _ => None,
        });
        carrier.map_or(Ok(None), |index| self.by_index(index))
    }

    /// Every link of the namespace, as the kernel's own messages.
    pub(super) fn messages(&self) -> io::Result<Vec<LinkMessage>> {
        let answers = self.netlink.request(Verb::Dump, Message::GetLink(LinkMessage::default()))?;
        let link = |answer| if let Message::NewLink(message) = answer { Some(message) } else { None };
        Ok(answers.into_iter().filter_map(link).collect())
    }

    fn get(&self, request: LinkMessage) -> io::Result<Option<Link>> {
        let answers = match self.netlink.request(Verb::Get, Message::GetLink(request)) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            // A name that no link can have: too long, or a path.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ERANGE)) => {
                return Ok(None);
            }
            answers => answers?,
        };
        Ok(answers.iter().find_map(|answer| match answer {
            Message::NewLink(message) => Some(read_link(message)),
            _ => None,
        }))
    }

    /// Sets up a link: its own settings at once, then addresses, then the route.
    ///
    /// An address that it has already, and a default route that the namespace has already, are fine. IPv6 addresses
    /// are usable at once: duplicate address detection is off for them.
    ///
    /// # Errors
    ///
    /// The first refusal, naming the setting; what came before it stays set.
    pub fn configure(&self, index: u32, setup: &LinkSetup) -> io::Result<()> {
        let mut link = LinkUnspec::new_with_index(index);
        if let Some(mtu) = setup.mtu {
            link = link.mtu(mtu.into());
        }
        if let Some(mac) = setup.mac {
            link = link.address(mac.octets().to_vec());
        }
        if let Some(length) = setup.txqueuelen {
            link = link.txqueuelen(length);
        }
        if let Some(size) = setup.gso_max_size {
            link = link.append_extra_attribute(LinkAttribute::GsoMaxSize(size));
            link = link.append_extra_attribute(LinkAttribute::GsoIpv4MaxSize(size));
        }
        if setup.up {
            link = link.up();
        }
        self.change(link.build(), || format!("cannot set up link {index} as asked ({setup:?})"))?;
        for &address in &setup.addresses {
            self.add_address(index, address)?;
        }
        setup.gateway.map_or(Ok(()), |gateway| self.add_default_route(index, gateway))
    }

    fn add_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        let message = match address {
            IpNet::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
                .index(index)
                .address(net.addr(), net.prefix_len())
                .build(),
            IpNet::V6(net) => {
                let builder = AddressMessageBuilder::<Ipv6Addr>::new().index(index);
                let mut message = builder.address(net.addr(), net.prefix_len()).build();
                message.header.flags |= AddressHeaderFlags::Nodad;
                message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                message
            }
        };
        let what = || format!("cannot add address {address} to link {index}");
        self.create(Message::NewAddress(message), true, what)
    }

    fn add_default_route(&self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let message = match gateway {
            IpAddr::V4(via) => {
                RouteMessageBuilder::<Ipv4Addr>::new().gateway(via).output_interface(index).build()
            }
            IpAddr::V6(via) => {
                RouteMessageBuilder::<Ipv6Addr>::new().gateway(via).output_interface(index).build()
            }
        };
        let what = || format!("cannot add a default route through {gateway} to link {index}");
        self.create(Message::NewRoute(message), true, what)
    }

    /// Removes a link; one that is gone already is fine.
    ///
    /// # Errors
    ///
    /// The kernel's refusal, such as of a device of hardware.
    pub fn delete(&self, index: u32) -> io::Result<()> {
        let request = LinkUnspec::new_with_index(index).build();
        match self.netlink.request(Verb::Change, Message::DelLink(request)) {
            Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
                Err(explain(&error, &format!("cannot delete link {index}")))
            }
            _ => Ok(()),
        }
    }

    /// Makes a pair of linked devices, each in its namespace, down and unconfigured.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when one of the names is taken; else the kernel's refusal. Nothing was made then.
    pub fn create_veth(&self, one: (&str, &Netns), other: (&str, &Netns)) -> io::Result<()> {
        let peer = LinkUnspec::new_with_name(other.0).setns_by_fd(other.1.as_raw_fd()).build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(one.0)
            .setns_by_fd(one.1.as_raw_fd())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        let what = || format!("cannot create the veth pair {} - {}", one.0, other.0);
        self.create(Message::NewLink(pair.build()), false, what)
    }

    /// Makes a bridge, up and empty, and returns its number.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is taken; else the kernel's refusal.
    pub fn create_bridge(&self, name: &str) -> io::Result<u32> {
        let message = Message::NewLink(LinkBridge::new(name).build());
        self.create(message, false, || format!("cannot create the bridge {name}"))?;
        let bridge = self.by_name(name)?.ok_or_else(|| gone(name))?;
        Ok(bridge.index)
    }

    /// Puts a link under a bridge; `None` takes it out.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_master(&self, index: u32, master: Option<u32>) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index).controller(master.unwrap_or(0)).build();
        self.change(link, || format!("cannot put link {index} under bridge {master:?}"))
    }

    /// The most segments of a super-frame that the kernel hands to a link; with 1 the kernel cuts all of them before.
    ///
    /// # Errors
    ///
    /// The kernel's refusal.
    pub fn set_gso_max_segs(&self, index: u32, most: u32) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index);
        let link = link.append_extra_attribute(LinkAttribute::GsoMaxSegs(most)).build();
        self.change(link, || format!("cannot set the segments of link {index} to {most}"))
    }

    fn change(&self, link: LinkMessage, what: impl FnOnce() -> String) -> io::Result<()> {
        match self.netlink.request(Verb::Change, Message::SetLink(link)) {
            Ok(_) => Ok(()),
            Err(error) => Err(explain(&error, &what())),
        }
    }

    pub(super) fn create(
        &self,
        message: Message,
        existing_is_fine: bool,
        what: impl FnOnce() -> String,
    ) -> io::Result<()> {
        match self.netlink.request(Verb::Create, message) {
            Ok(_) => Ok(()),
            Err(error) if existing_is_fine && error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(explain(&error, &what())),
        }
    }
}

/// The same kind of error, saying what could not be done.
fn explain(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn gone(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("link {name} disappeared after it was made"))
}

fn read_link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        kind: None,
        dropped: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(octets) => {
                link.mac = <[u8; 6]>::try_from(octets.as_slice()).ok().map(MacAddr::new);
            }
            LinkAttribute::Stats64(stats) => link.dropped = stats.tx_dropped,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

/// The address of this host; on a point-to-point link the other attribute is the peer's.
fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let find = |local| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if local => Some(*address),
            AddressAttribute::Address(address) if !local => Some(*address),
            _ => None,
        })
    };
    find(true).or_else(|| find(false))
}

#[cfg(test)]
mod tests;
