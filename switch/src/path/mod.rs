//! The paths to other members: how large a packet passes, how each path is, and the way over a relay.
//!
//! ```text
//!  handle_datagram ─> Gate ─> message ─┬─ probe ──> reply
//!                                      ├─ reply ──> round trip, odds, life ──> search ─┐
//!                                      ├─ ask, answer ──> relay ───────────────────────┤
//!                                      └─ letter ──> for this node, or passed on ──────┤
//!  handle_timeout ──> lost probes ──> life, search ──> health ─────────────────────────┤
//!  poll_output <── sealed datagrams to send, and paths that changed <──────────────────┘
//! ```
//!
//! 1. [`Engine`] probes each target from all source ports in turn: small packets often, full-size ones now and then, and
//!    more of both where there is traffic. What that costs is bounded for a peer and for the node (`budget`).
//! 2. `life` says whether the direct path works, and by which [`Way`]; `search` how large a packet passes that way
//!    ([RFC 8899](https://www.rfc-editor.org/rfc/rfc8899)). A size is too large only when small probes beside it pass, more
//!    often than chance (`odds`) would do it.
//!    `sources` says by which source ports nothing gets there.
//! 3. `relay` asks others for the way while the direct path is dead.
//! 4. `health` makes one state of it all, with causes. [`Output::Path`] tells it when the data path needs to know.
//! 5. `letter`: what others of this daemon write to other nodes goes the same ways, such as what `weft trace` asks.
//!
//! Everything is an argument: time, chance, and what arrived. The seal is gossip's, with keys of its own.

mod budget;
mod engine;
mod examination;
mod health;
mod letter;
mod life;
mod message;
mod numbers;
mod odds;
mod peer;
mod relay;
mod round_trip;
mod search;
mod sources;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use encap::tunnel::IpVersion;
use encap::{Format, Mtu, VtepAddr};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::seal::{Process, Refusal};

pub use self::engine::{Engine, MAX_TARGETS};
pub use self::examination::{Cell, EXAMINATION, Examination, Size};
pub use self::health::{Cause, Health, Since};
pub use self::letter::{Content, Load, MAX_CONTENT, MAX_LOAD, Outgoing, Question, Received, Sort};
pub(crate) use self::message::Reader;
pub use self::message::{MessageError, least_packet};
pub use self::numbers::Share;
pub use self::relay::Via;
pub use self::search::Found;
pub use self::sources::Sources;
pub use self::view::{RoundTripView, SourceView, View};

/// How paths are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether at all. If not, every path is taken to be up, with the link's MTU; probes of others are answered.
    pub probing: bool,
    /// What is used at once when larger packets vanish: the IP MTU of the outer path.
    pub min: Mtu,
    /// Whether other nodes are asked to relay.
    pub relay: bool,
    /// How many source ports the data path sends from, 1 to 64.
    pub source_ports: u16,
    /// How often a larger size is tried where there is traffic.
    pub raise_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probing: true,
            min: Mtu::IPV6_MIN,
            relay: true,
            source_ports: 16,
            raise_every: Duration::from_secs(15),
        }
    }
}

/// A way straight to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// The IP version of the underlay.
    pub family: IpVersion,
    /// The format, and with it the port of the member.
    pub format: Format,
}

/// Where a member takes datagrams of one IP version, and to which there is a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where it takes VXLAN.
    pub vxlan: VtepAddr,
    /// Where it takes Geneve.
    pub geneve: VtepAddr,
    /// The MTU of the link that leads there.
    pub link_mtu: Mtu,
}

impl Site {
    /// Where it takes a format.
    #[must_use]
    pub const fn vtep(&self, format: Format) -> VtepAddr {
        match format {
            Format::Vxlan => self.vxlan,
            Format::Geneve => self.geneve,
        }
    }

    /// The IP version of both.
    #[must_use]
    pub fn family(&self) -> IpVersion {
        self.vxlan.ip().into()
    }
}

/// A member that is alive, and to which there is a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The member.
    pub node: NodeId,
    /// Its run.
    pub boot: BootId,
    /// Where it is sent frames, if they get there.
    pub site: Site,
    /// Its address of the other IP version, if both nodes have one.
    pub spare: Option<Site>,
    /// What is sent to it, if that works.
    pub format: Format,
}

impl Target {
    /// Where a way ends.
    #[must_use]
    pub fn vtep(&self, way: Way) -> VtepAddr {
        self.site_of(way.family).unwrap_or(self.site).vtep(way.format)
    }

    /// Where it takes datagrams of an IP version.
    #[must_use]
    pub fn site_of(&self, family: IpVersion) -> Option<Site> {
        [Some(self.site), self.spare].into_iter().flatten().find(|site| site.family() == family)
    }

    /// The way itself, if it can be gone back.
    fn answerable(&self, way: Way) -> Way {
        let site = self.site_of(way.family).unwrap_or(self.site);
        Way { family: site.family(), ..way }
    }

    /// The way that frames take if it works.
    fn proper(&self) -> Way {
        Way { family: self.site.family(), format: self.format }
    }

    /// All ways, the best first: another port of the same address has the same path.
    fn ways(&self) -> Vec<Way> {
        let sites = [Some(self.site), self.spare].into_iter().flatten();
        let formats = [self.format, life::other(self.format)];
        sites.flat_map(|site| formats.map(|format| Way { family: site.family(), format })).collect()
    }

    const fn process(&self) -> Process {
        Process { node: self.node, boot: self.boot }
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What counts.
    pub at: Instant,
    /// The wall clock, milliseconds since 1970: told to others, who compare it with theirs, and used for nothing else.
    pub unix_ms: u64,
}

/// A sealed message as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Whence; not protected by the seal, and used for nothing but the seal's word about it and the IP version of a reply.
    pub from: SocketAddr,
    /// At which port.
    pub format: Format,
    /// What was sealed, without carrier and padding.
    pub sealed: &'a [u8],
    /// Octets of the whole outer IP packet.
    pub size: usize,
    /// When.
    pub at: Instant,
}

/// What the owner of an [`Engine`] shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this, with DF set.
    Send {
        /// Where to.
        to: VtepAddr,
        /// In which carrier.
        format: Format,
        /// From which of the source ports, counted from 0.
        source: u16,
        /// What goes into the carrier.
        sealed: Vec<u8>,
        /// Octets of the whole outer IP packet: pad what is missing.
        size: usize,
    },
    /// A path is this from now on.
    Path {
        /// To whom.
        node: NodeId,
        /// The path.
        path: Path,
    },
    /// A letter arrived.
    Letter(Box<Received>),
}

/// What the data path needs to know of the way to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The IP MTU of the direct path, outer headers included.
    pub mtu: Mtu,
    /// How it is.
    pub health: Health,
    /// Who relays, as long as the direct path is dead.
    pub via: Option<Via>,
    /// The way that gets there.
    pub way: Way,
    /// The source ports that do not, while others do: frames take the others.
    pub dead: Sources,
}

/// Why a datagram was dropped. Nothing was sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Its seal, or that its sender is no target.
    #[error(transparent)]
    Seal(#[from] Refusal),
    /// What was sealed.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A probe of another size than it says.
    #[error("a probe of {arrived} octets says that it has {said}: dropped; it was changed on the way")]
    Size {
        /// The octets of its IP packet.
        arrived: usize,
        /// What its sender says.
        said: u16,
    },
    /// More than are answered to one peer, or by this node.
    #[error(
        "too much goes or comes for the watch over paths, from one member or all: this is not sent or not answered"
    )]
    Rate,
    /// A letter for another node that does not get there.
    #[error(
        "a letter for another node is not passed on: it was once already, [path] relay is off, that node is not known, or \
         its link does not take a packet so large"
    )]
    NotPassedOn,
    /// A reply to nothing.
    #[error("a reply to a probe that nobody waits for: it came very late")]
    Stray,
}

impl Dropped {
    /// What it is counted under.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Seal(refusal) => refusal.name(),
            Self::Message(_) => "message",
            Self::Size { .. } => "size",
            Self::Rate => "rate",
            Self::NotPassedOn => "not_passed_on",
            Self::Stray => "stray",
        }
    }
}
