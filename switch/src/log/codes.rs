//! The list of all that can be in a log.

use tracing::Level;

use super::Part;

macro_rules! codes {
    ($($code:ident $name:literal $part:ident $level:ident [$($field:literal)*] $meaning:literal)*) => {
        /// What happened, as a line of the log names it in `event`.
        ///
        /// # Examples
        ///
        /// ```
        /// use weft::log::Code;
        ///
        /// let code = Code::by_name("mac_moved").unwrap();
        /// assert_eq!(code.fields(), ["mac", "vni", "from", "to"]);
        /// assert_eq!(code.level(), tracing::Level::INFO);
        /// assert_eq!(Code::by_name("mac_flew"), None);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $meaning] $code,)* }

        impl Code {
            /// Every code, by part and then as things happen.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// Its name: the field `event` of its lines. It stays what it is.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// The part of weft that says it: the field `target` of its lines.
            #[must_use]
            pub const fn part(self) -> Part {
                match self { $(Self::$code => Part::$part,)* }
            }

            /// How much it matters.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Self::$code => Level::$level,)* }
            }

            /// The other fields that its lines can have; the first is what it is about.
            #[must_use]
            pub const fn fields(self) -> &'static [&'static str] {
                match self { $(Self::$code => &[$($field),*],)* }
            }

            /// What it means, as one sentence for a person.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning,)* }
            }
        }
    };
}

codes! {
    Started "started" Control INFO ["node" "version"] "The daemon is up."
    Stopping "stopping" Control INFO [] "The daemon was told to end."
    AddressChanged "address_changed" Control WARN ["was"] "The host has another underlay address: sockets are opened anew, pods keep theirs."
    AddressWaits "address_waits" Control WARN [] "The new underlay address cannot be used yet; it is tried again until it can."
    AddressFollowed "address_followed" Control INFO ["addresses"] "The daemon is up on another underlay address."
    ReloadOk "reload_ok" Control INFO ["changes"] "The configuration was read again and is in effect."
    ReloadRefused "reload_refused" Control WARN [] "The configuration was read again and refused: the old one stays in effect."
    LogSet "log_set" Control INFO ["part" "to"] "`weft log set` changed what is logged."
    PortUp "port_up" Control INFO ["port" "ifname" "mac" "mtu"] "A port is up."
    PortDown "port_down" Control WARN ["port" "reason"] "A port is not up."
    PortMtu "port_mtu" Control INFO ["port" "from" "to"] "The MTU of a port follows that of the underlay or of its network."
    MacMoved "mac_moved" Control INFO ["mac" "vni" "from" "to"] "A MAC address is somewhere else now."
    FdbFrozen "fdb_frozen" Control WARN ["mac" "vni" "from" "at"] "A MAC address moved too often and stays where it is for 180 s."
    MacDuplicate "mac_duplicate" Control WARN ["mac" "vni" "here" "there"] "A MAC address is configured here and at another node."
    MacRefused "mac_refused" Control WARN ["mac" "vni" "reason"] "A configured MAC address is not in the FDB."
    DuplicateAddress "duplicate_address" Control WARN ["ip" "vni" "mac" "at" "other" "other_at"] "Two hosts have one IP address."
    TakenOver "taken_over" Datapath INFO ["taps"] "TAP devices that were there already are used again."
    OffloadFallback "offload_fallback" Datapath WARN ["subject" "cause" "offload" "reason"] "The kernel refuses an offload: frames take the plain, slower path."
    OffloadRestored "offload_restored" Datapath INFO ["subject" "offload"] "An offload works again."
    PeerUp "peer_up" Path INFO ["peer" "path_mtu"] "There is a route to a static peer."
    PeerDown "peer_down" Path WARN ["peer"] "There is no route to a static peer."
    PeerDegraded "peer_degraded" Path WARN ["peer" "cause"] "The path to a node is not as it should be; `weft peer` has the cause in words."
    PeerRecovered "peer_recovered" Path INFO ["peer"] "The path to a node is as it should be again."
    PathMtuChanged "path_mtu_changed" Path INFO ["peer" "path_mtu"] "Larger packets pass to a peer than before, or only smaller ones."
    PathRelayed "path_relayed" Path WARN ["peer" "via"] "A node is not reached directly: frames go through another one."
    LetterDropped "letter_dropped" Path DEBUG ["addr" "reason"] "A question of a trace, or its answer, is not sent."
    PathDirect "path_direct" Path INFO ["peer"] "A node is reached directly again."
    ControlDropped "control_dropped" Path DEBUG ["from" "reason"] "A probe or answer was not believed."
    GossipStarted "gossip_started" Gossip INFO ["node" "epoch" "listen"] "Gossip is up."
    GossipLeft "gossip_left" Gossip INFO [] "This node said goodbye to the others (`weft leave`)."
    GossipInsecure "gossip_insecure" Gossip WARN ["cause"] "Gossip runs without keys: anybody who reaches this node can join."
    GossipPriority "gossip_priority" Gossip INFO ["reason"] "Gossip runs with ordinary priority, for want of CAP_SYS_NICE."
    StateDamaged "state_damaged" Gossip WARN [] "One of the two copies of the node's identity is damaged; the other is used."
    EpochRaised "epoch_raised" Gossip WARN ["epoch"] "Other nodes know a later start of this node than its state directory."
    NotPublished "not_published" Gossip WARN ["key" "reason"] "Other nodes are not told of an address."
    MemberUp "member_up" Gossip INFO ["peer" "addr" "epoch"] "A node is up."
    MemberSuspect "member_suspect" Gossip INFO ["peer" "addr"] "A node does not answer; frames still go to it."
    MemberDown "member_down" Gossip WARN ["peer" "addr"] "A node is down: what lives there is hidden."
    MemberLeft "member_left" Gossip INFO ["peer" "addr"] "A node said goodbye."
    MemberUnreachable "member_unreachable" Gossip WARN ["peer"] "A node has no underlay address of an IP version that this one has."
    SharedRefused "shared_refused" Gossip WARN ["peer" "vtep"] "A node shares more static peers than are heard here."
    GossipDropped "gossip_dropped" Gossip DEBUG ["from" "peer" "reason"] "A message of gossip was not taken."
    GossipCallerRefused "gossip_caller_refused" Gossip DEBUG ["from" "reason"] "A caller over TCP was turned away."
    GossipCallFailed "gossip_call_failed" Gossip DEBUG ["addr" "reason"] "A node cannot be called over TCP."
    GossipStreamEnded "gossip_stream_ended" Gossip DEBUG ["peer" "reason"] "A stream to a node ended."
    GossipAcceptFailed "gossip_accept_failed" Gossip DEBUG ["reason"] "A caller over TCP could not be taken."
    HttpUnavailable "http_unavailable" Api WARN [] "Nobody can ask over HTTP."
    HttpAccept "http_accept" Api WARN ["reason"] "A client could not be taken over HTTP; it is tried again."
    HttpStranger "http_stranger" Api WARN ["from"] "Somebody not on this host asked over HTTP, which has no token."
    ApiAccept "api_accept" Api WARN ["reason"] "A client could not be taken on the Unix socket; it is tried again."
    ReplyUnwritable "reply_unwritable" Api ERROR ["reason"] "A reply cannot be written as JSON."
    HttpClientGone "http_client_gone" Api DEBUG ["reason"] "A client over HTTP went away."
    ApiClientGone "api_client_gone" Api DEBUG ["reason"] "A client on the Unix socket went away."
}

impl Code {
    /// The code of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}
