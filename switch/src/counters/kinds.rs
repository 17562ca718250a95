//! What is counted by kind, beside the ledger.

use fdb::gossip::seal::Refusal;

use super::Counter;

counters! {
    /// What was answered here, by the protocol that asked; together the ledger's `answered`.
    Answers, AnswersView {
        /// ARP requests.
        arp,
        /// Neighbour solicitations.
        nd,
    }
}

counters! {
    /// ICMP errors that tell pods of a smaller path, by the IP version of what they sent.
    TooBigs, TooBigsView {
        /// Fragmentation needed (RFC 792).
        ipv4,
        /// Packet Too Big (RFC 4443).
        ipv6,
    }
}

counters! {
    /// Sealed messages that came to the data ports and were refused for their key, their seal, or because they were sent again;
    /// the names are those of [`Refusal`].
    Seals, SealsView {
        /// Without a seal, where there are keys.
        insecure,
        /// With one, where there are none.
        sealed,
        /// With a key that is not here.
        unknown_key,
        /// Changed on the way, or made without the key.
        bad_tag,
        /// Here before.
        replay,
        /// Too far behind the latest one.
        too_old,
        /// Of a process that has a successor.
        retired,
        /// To be answered by a process that can seal no more.
        exhausted,
    }
}

impl Seals {
    /// Counts a refusal, if it is one for these causes: the others are damage, or senders that still have to prove who they
    /// are. Only the thread that owns the counters may call this.
    pub fn note(&self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Insecure => &self.insecure,
            Refusal::Sealed => &self.sealed,
            Refusal::UnknownKey { .. } => &self.unknown_key,
            Refusal::BadTag => &self.bad_tag,
            Refusal::Replay => &self.replay,
            Refusal::TooOld => &self.too_old,
            Refusal::Retired => &self.retired,
            Refusal::Exhausted => &self.exhausted,
            _ => return,
        };
        counter.add(1);
    }
}
