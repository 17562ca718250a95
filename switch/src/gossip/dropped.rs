//! What gossip drops, counted by reason.

use std::collections::BTreeMap;

use fdb::gossip::engine::Dropped;

/// Why something is dropped that the engine never sees, or that it does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A caller over TCP was turned away.
    StreamRefused,
    /// A record of this node that others cannot be told.
    NotPublished,
    /// The kernel did not take a datagram.
    SendError,
}

impl Reason {
    const ALL: [Self; 3] = [Self::StreamRefused, Self::NotPublished, Self::SendError];

    const fn name(self) -> &'static str {
        match self {
            Self::StreamRefused => "stream_refused",
            Self::NotPublished => "not_published",
            Self::SendError => "send_error",
        }
    }
}

/// How much was dropped for each reason. All are there from the start, so that a rate sees the first drop, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCounts(BTreeMap<&'static str, u64>);

impl Default for DropCounts {
    fn default() -> Self {
        let names = Dropped::names().chain(Reason::ALL.map(Reason::name));
        Self(names.map(|name| (name, 0)).collect())
    }
}

impl DropCounts {
    /// Counts what the engine dropped.
    pub(crate) fn count(&mut self, why: &Dropped) {
        self.add(why.name());
    }

    /// Counts what was dropped around it.
    pub(crate) fn count_other(&mut self, why: Reason) {
        self.add(why.name());
    }

    fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// What was dropped for the reason of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Names and counts, by name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}

#[cfg(test)]
mod tests {
    use fdb::gossip::seal::Refusal;

    use super::*;

    #[test]
    fn every_reason_is_there_before_anything_is_dropped_and_has_a_name_of_its_own() {
        let counts = DropCounts::default();
        assert!(counts.named().all(|(_, count)| count == 0));
        let reasons = Refusal::NAMES.len() + Dropped::NAMES.len() + Reason::ALL.len();
        assert_eq!(
            (counts.named().count(), Dropped::names().count() + Reason::ALL.len()),
            (reasons, reasons)
        );
        for name in ["truncated", "bad_tag", "malformed", "membership", "stream_kind", "send_error"] {
            assert!(counts.named().any(|(known, _)| known == name), "{name}");
        }
    }

    #[test]
    fn what_is_dropped_adds_to_its_reason_and_brings_no_other() {
        let mut counts = DropCounts::default();
        let reasons = counts.named().count();
        for why in [Dropped::Rate, Dropped::StreamKind(9), Refusal::Replay.into(), Refusal::Replay.into()] {
            counts.count(&why);
        }
        counts.count_other(Reason::NotPublished);
        let counted = counts.named().filter(|(_, count)| *count > 0);
        let expected = [("not_published", 1), ("rate", 1), ("replay", 2), ("stream_kind", 1)];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
        assert_eq!((counts.of("replay"), counts.named().count()), (2, reasons));
    }
}
