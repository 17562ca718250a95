//! Which of this node's own entries changed, for who publishes them.

use std::collections::BTreeMap;

use crate::shared::Key;

/// The keys to look at, while somebody wants to know.
///
/// Bounded: each has an own entry now, or had one when it was last told of, because what came and went between is forgotten.
#[derive(Debug, Default)]
pub(super) struct Changes(Option<BTreeMap<Key, Told>>);

/// Whether the key had an own entry when it was last told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Absent,
    Present,
}

impl Changes {
    /// Begins with the keys of all own entries, or stops and forgets.
    pub(super) fn track(&mut self, own: Option<impl Iterator<Item = Key>>) {
        self.0 = own.map(|own| own.map(|key| (key, Told::Absent)).collect());
    }

    /// Notes a change of an entry that was, or now is, an own one.
    pub(super) fn note(&mut self, key: Key, was_own: bool, is_own: bool) {
        let Some(keys) = self.0.as_mut().filter(|_| was_own || is_own) else { return };
        let told = *keys.entry(key).or_insert(if was_own { Told::Present } else { Told::Absent });
        if !is_own && told == Told::Absent {
            keys.remove(&key);
        }
    }

    pub(super) fn poll(&mut self) -> Option<Key> {
        self.0.as_mut()?.pop_first().map(|(key, _)| key)
    }
}
