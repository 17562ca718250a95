//! The ledger: what datapath workers count and control reads.
//!
//! The unit is one wire frame; a super-frame counts as its segments. At rest, and summed over all workers,
//! `received + copies = delivered + answered + drops`, exactly. Every drop has one [`DropReason`], which is one
//! counter, one sentence and one test.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use encap::Format;
use encap::ether::{self, Frame};

pub(crate) use self::histogram::Histogram;
pub use self::histogram::{HistogramView, Histograms, HistogramsView, Stage};
pub use self::kinds::{Answers, AnswersView, Seals, SealsView, TooBigs, TooBigsView};

mod histogram;

/// The way a frame was going when it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the underlay to a port.
    Inbound,
    /// From a port to the underlay or to another port.
    Outbound,
}

macro_rules! drop_reasons {
    ($($variant:ident $name:literal $sentence:literal)*) => {
        /// Why a frame was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $(#[doc = $sentence] $variant,)* }

        impl DropReason {
            /// Every reason, in the order of the ledger.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name of the counter, as commands and metrics show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happened, as one sentence for a person.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

drop_reasons! {
    Truncated "truncated" "The datagram or super-frame is shorter than its own headers say."
    Runt "runt" "The frame is shorter than an Ethernet header (14 octets)."
    VxlanNoVni "vxlan_no_vni" "The VXLAN header has no valid VNI: its I flag is clear."
    VxlanReserved "vxlan_reserved" "The VXLAN header has a reserved bit set, and vxlan_reserved is \"strict\"."
    GeneveVersion "geneve_version" "The Geneve version is not 0."
    GeneveControl "geneve_control" "The Geneve O bit marks a control packet, which is never delivered as a frame."
    GeneveProtocol "geneve_protocol" "The Geneve payload is not Ethernet (0x6558)."
    GeneveOptions "geneve_options" "The lengths of the Geneve options do not add up."
    GeneveCritical "geneve_critical" "A Geneve option that must be understood is unknown here."
    SrcMac "src_mac" "The source MAC address is zero or a group address."
    ReservedMac "reserved_mac" "The frame is link-local control (01-80-C2-00-00-0X or PAUSE), which a switch does not forward."
    Vlan "vlan" "The frame has a VLAN tag, and its network does not pass them."
    UnknownPeer "unknown_peer" "The sender is neither a member nor a static peer of this network."
    UnknownVni "unknown_vni" "No network here has this VNI."
    NoDestination "no_destination" "Nobody else is on this network."
    UnknownUnicast "unknown_unicast" "The destination is not in the FDB, and the network does not flood unknown unicast."
    SplitHorizon "split_horizon" "The destination lies where the frame came from, or behind another tunnel."
    BumRate "bum_rate" "The port sends more broadcast, multicast or unknown unicast than its limit."
    PortSecurity "port_security" "The source MAC or IP address is not one that the port was given."
    MacFrozen "mac_frozen" "The MAC address moved too often and is frozen at its last place."
    PktTooBig "pkt_too_big" "The frame does not fit the path MTU to its peer."
    IpTunnelEcn "ip_tunnel_ecn" "The underlay marked congestion on a packet that cannot carry the mark (RFC 6040)."
    RelayRefused "relay_refused" "The frame is for another node and is not passed on: it was once already, or [path] relay is off."
    EncapLoop "encap_loop" "The frame is one of our own datagrams that came back through a port."
    TapFull "tap_full" "The port's TAP device took no more frames."
    TapGone "tap_gone" "The port's TAP device is down or gone."
    SendError "send_error" "The kernel refused to send the datagram."
    PeerDown "peer_down" "The peer that owns the destination is down."
    Shutdown "shutdown" "The daemon was stopping."
}

impl DropReason {
    /// Whether what was dropped was a datagram, tunnel header included: on its way in it is one until it is a port's, and
    /// it is one again when the kernel refuses it. Else it was a frame.
    #[must_use]
    pub const fn drops_datagram(self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => !matches!(self, Self::TapFull | Self::TapGone),
            Direction::Outbound => matches!(self, Self::SendError),
        }
    }
}

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident, $view:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$doc])* pub $field: Counter,)* }

        /// The values of these counters at one moment; they add.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $view { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Reads every counter.
            #[must_use]
            pub fn read(&self) -> $view {
                $view { $($field: self.$field.get(),)* }
            }
        }

        impl $view {
            /// Adds the other values to these.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            /// Names and values, in order.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }
        }
    };
}

mod kinds;

/// A counter with one writer, its worker: an addition is a plain load and store.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the worker that owns the counter may call this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The value, from any thread.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// The sides of the ledger's equation, in wire frames.
    Ledger, LedgerView {
        /// From ports.
        received_from_ports,
        /// From the underlay.
        received_from_underlay,
        /// Instances added by flooding, and by cutting frames that are too big for a path.
        copies,
        /// Written to ports.
        delivered_to_ports,
        /// Sent to the underlay.
        delivered_to_underlay,
        /// ARP and ND requests answered here.
        answered,
    }
}

counters! {
    /// Things that are no drop but worth telling.
    Notices, NoticesView {
        /// Frames with a wrong inner checksum, delivered as they were and never coalesced.
        inner_checksum,
        /// Learn events that control had no room for.
        learn_lost,
        /// Datagrams sent a second time after an error that belonged to another peer.
        send_retried,
        /// ICMP errors that the underlay sent back.
        icmp_errors,
        /// Frames that were made here and that ports took, such as announcements of addresses and word of a smaller path:
        /// outside the ledger.
        originated,
        /// Control datagrams that came in on the data ports, such as probes of paths: outside the ledger.
        control_received,
        /// Control datagrams that found no room on their way to whoever watches paths.
        control_lost,
        /// Control datagrams that left by the data sockets: outside the ledger.
        control_sent,
    }
}

counters! {
    /// What the kernel lost before a worker saw it: outside the ledger.
    LostBefore, LostBeforeView {
        /// Datagrams that found a receive socket full (`SO_RXQ_OVFL`), or came while several were being opened.
        udp_overflow,
    }
}

counters! {
    /// How the work was batched; speed shows here first.
    Batching, BatchingView {
        /// Reads from TAPs, a super-frame each at best.
        tap_reads,
        /// Writes to TAPs.
        tap_writes,
        /// Messages received from the underlay, up to 64 KiB of datagrams each.
        udp_reads,
        /// Messages sent to the underlay.
        udp_sends,
        /// Times that the worker had nothing to do and blocked.
        sleeps,
        /// Lookups that the flow cache answered.
        cache_hits,
        /// Lookups that went to the shared FDB.
        cache_misses,
    }
}

counters! {
    /// What came in tunnels, and went. Octets are those of the UDP payload, tunnel headers included.
    Tunnels, TunnelsView {
        /// Frames that came as VXLAN.
        vxlan_received,
        /// Octets that came as VXLAN, control datagrams included.
        vxlan_received_octets,
        /// Frames that came as Geneve.
        geneve_received,
        /// Octets that came as Geneve, control datagrams included.
        geneve_received_octets,
        /// Octets that were handed to the kernel, refused ones included.
        sent_octets,
    }
}

counters! {
    /// What one worker moved through one port.
    PortCounters, PortTraffic {
        /// Wire frames that the port sent.
        received,
        /// Their octets as they were read, a super-frame with one header.
        received_octets,
        /// Wire frames that the port took.
        sent,
        /// Their octets as they were written, a super-frame with one header.
        sent_octets,
    }
}

counters! {
    /// What one worker moved between this node and one peer. Octets are those of the UDP payload, tunnel headers included.
    PeerCounters, PeerTraffic {
        /// Frames that came from it as VXLAN.
        vxlan_received,
        /// Their octets, and those of control datagrams.
        vxlan_received_octets,
        /// Frames that came from it as Geneve.
        geneve_received,
        /// Their octets, and those of control datagrams.
        geneve_received_octets,
        /// Frames for it that were handed to the kernel as VXLAN, refused ones included.
        vxlan_sent,
        /// Their octets.
        vxlan_sent_octets,
        /// Frames for it that were handed to the kernel as Geneve, refused ones included.
        geneve_sent,
        /// Their octets.
        geneve_sent_octets,
    }
}

/// What all workers moved between this node and one peer; each counts on cache lines of its own.
#[derive(Debug, Default)]
pub struct PeerCounts(Box<[CachePadded<PeerCounters>]>);

impl PeerCounts {
    /// Counters for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| CachePadded::default()).collect())
    }

    /// Counts what came from the peer in one message; only this worker may call it.
    pub fn count_received(&self, worker: usize, format: Format, frames: u64, octets: u64) {
        let Some(counters) = self.0.get(worker) else { return };
        let (packets, of) = match format {
            Format::Vxlan => (&counters.vxlan_received, &counters.vxlan_received_octets),
            Format::Geneve => (&counters.geneve_received, &counters.geneve_received_octets),
        };
        packets.add(frames);
        of.add(octets);
    }

    /// Counts what was sent to the peer in one message; only this worker may call it.
    pub fn count_sent(&self, worker: usize, format: Format, frames: u64, octets: u64) {
        let Some(counters) = self.0.get(worker) else { return };
        let (packets, of) = match format {
            Format::Vxlan => (&counters.vxlan_sent, &counters.vxlan_sent_octets),
            Format::Geneve => (&counters.geneve_sent, &counters.geneve_sent_octets),
        };
        packets.add(frames);
        of.add(octets);
    }

    /// What all workers counted so far.
    #[must_use]
    pub fn read(&self) -> PeerTraffic {
        let mut total = PeerTraffic::default();
        self.0.iter().for_each(|counters| total.add(&counters.read()));
        total
    }
}

impl Tunnels {
    /// Counts what came by one socket in one go; only the worker that owns the counters may call this.
    pub fn count_received(&self, format: Format, frames: u64, octets: u64) {
        let (packets, of) = match format {
            Format::Vxlan => (&self.vxlan_received, &self.vxlan_received_octets),
            Format::Geneve => (&self.geneve_received, &self.geneve_received_octets),
        };
        packets.add(frames);
        of.add(octets);
    }
}

/// One worker's counters of one port, on cache lines of their own.
pub type PaddedPortCounters = CachePadded<PortCounters>;

/// All that one worker counts.
#[derive(Debug)]
pub struct WorkerCounters {
    /// The ledger's equation.
    pub ledger: Ledger,
    /// Things that are no drop.
    pub notices: Notices,
    /// How the work was batched.
    pub batching: Batching,
    /// What the kernel lost before.
    pub lost_before: LostBefore,
    /// What came in tunnels, and went.
    pub tunnels: Tunnels,
    /// What was answered here.
    pub answers: Answers,
    /// What pods were told of smaller paths.
    pub too_bigs: TooBigs,
    /// Seals that were not right.
    pub seals: Seals,
    /// How large batches were, and how long some took.
    pub histograms: Histograms,
    drops: Vec<[DropCounters; 2]>,
}

/// What was dropped for one reason in one direction.
#[derive(Debug, Default)]
struct DropCounters {
    frames: Counter,
    octets: Counter,
}

/// One worker's counters, on cache lines of their own.
pub type PaddedCounters = CachePadded<WorkerCounters>;

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            notices: Notices::default(),
            batching: Batching::default(),
            lost_before: LostBefore::default(),
            tunnels: Tunnels::default(),
            answers: Answers::default(),
            too_bigs: TooBigs::default(),
            seals: Seals::default(),
            histograms: Histograms::default(),
            drops: DropReason::ALL.iter().map(|_| Default::default()).collect(),
        }
    }
}

impl WorkerCounters {
    /// Counts `frames` dropped wire frames of so many octets; for [`Sink::dropped`](crate::datapath::Sink::dropped) only.
    pub fn count_drop(&self, reason: DropReason, direction: Direction, (frames, octets): (u64, usize)) {
        let row = &self.drops[reason as usize][direction as usize];
        row.frames.add(frames);
        row.octets.add(octets as u64);
    }

    /// Counts `frames` wire frames that a port took in one write.
    pub fn count_delivery(&self, frames: u64) {
        self.ledger.delivered_to_ports.add(frames);
        self.batching.tap_writes.add(1);
    }

    /// Counts a wire frame that was answered where it came from, by this frame.
    pub fn count_answer(&self, answer: &[u8]) {
        self.ledger.answered.add(1);
        let is_arp = Frame::new(answer).is_ok_and(|frame| frame.ethertype() == ether::ARP);
        if is_arp { &self.answers.arp } else { &self.answers.nd }.add(1);
        self.batching.tap_writes.add(1);
    }

    /// The frames dropped for one reason in one direction.
    #[must_use]
    pub fn dropped(&self, reason: DropReason, direction: Direction) -> u64 {
        self.drops[reason as usize][direction as usize].frames.get()
    }

    /// Their octets: of datagrams where [`DropReason::drops_datagram`] says so, else of frames, a super-frame as it was read.
    #[must_use]
    pub fn dropped_octets(&self, reason: DropReason, direction: Direction) -> u64 {
        self.drops[reason as usize][direction as usize].octets.get()
    }
}

/// The counters of all workers added up at one moment.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// The ledger's equation.
    pub ledger: LedgerView,
    /// Things that are no drop.
    pub notices: NoticesView,
    /// How the work was batched.
    pub batching: BatchingView,
    /// What the kernel lost before.
    pub lost_before: LostBeforeView,
    /// What came in tunnels, and went.
    pub tunnels: TunnelsView,
    /// What was answered here.
    pub answers: AnswersView,
    /// What pods were told of smaller paths.
    pub too_bigs: TooBigsView,
    /// Seals that were not right.
    pub seals: SealsView,
    /// How large batches were, and how long some took.
    pub histograms: HistogramsView,
    /// Dropped frames, one row a reason in the order of [`DropReason::ALL`]: inbound, outbound.
    pub drops: Vec<[u64; 2]>,
    /// Their octets, likewise.
    pub drop_octets: Vec<[u64; 2]>,
}

impl Totals {
    /// Adds up the counters of all workers.
    pub fn of<'a>(workers: impl IntoIterator<Item = &'a WorkerCounters>) -> Self {
        let none = || vec![[0; 2]; DropReason::ALL.len()];
        let mut totals = Self { drops: none(), drop_octets: none(), ..Self::default() };
        for worker in workers {
            totals.ledger.add(&worker.ledger.read());
            totals.notices.add(&worker.notices.read());
            totals.batching.add(&worker.batching.read());
            totals.lost_before.add(&worker.lost_before.read());
            totals.tunnels.add(&worker.tunnels.read());
            totals.answers.add(&worker.answers.read());
            totals.too_bigs.add(&worker.too_bigs.read());
            totals.seals.add(&worker.seals.read());
            totals.histograms.add(&worker.histograms.read());
            for (place, &reason) in DropReason::ALL.iter().enumerate() {
                for (way, direction) in [Direction::Inbound, Direction::Outbound].into_iter().enumerate() {
                    totals.drops[place][way] += worker.dropped(reason, direction);
                    totals.drop_octets[place][way] += worker.dropped_octets(reason, direction);
                }
            }
        }
        totals
    }

    /// All drops.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().flatten().sum()
    }

    /// Whether the ledger adds up; true whenever no frame is inside a worker.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let l = &self.ledger;
        l.received_from_ports + l.received_from_underlay + l.copies
            == l.delivered_to_ports + l.delivered_to_underlay + l.answered + self.dropped()
    }
}

#[cfg(test)]
mod tests;
