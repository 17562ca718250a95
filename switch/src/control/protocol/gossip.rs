//! What is said of gossip: how it is, its keys, and what happened to addresses.

use std::collections::BTreeMap;

use encap::{MacAddr, Vni};
use fdb::gossip::seal::{Key, KeyFileError, Keyring};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

/// How gossip is, in [`Status`](super::Status).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipStatus {
    /// The node's id: 32 hex digits.
    pub node: String,
    /// How often it has started.
    pub epoch: u64,
    /// The digest of all that is known, as 32 hex digits: equal on nodes that know the same.
    pub digest: String,
    /// Records known, of all nodes.
    pub records: u64,
    /// Other nodes that are up, suspects among them.
    pub members_up: u64,
    /// Other nodes that are known.
    pub members: u64,
    /// Whether this node knew once all that another did, or waited long enough for it.
    pub ready: bool,
    /// Whether it said goodbye: gossip is over until the daemon is restarted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left: bool,
    /// The names of nodes whose digest was another when it was compared last.
    pub differs: Vec<String>,
    /// Nodes that are up and whose digest was not compared yet.
    pub not_compared: u64,
    /// The longest time in the last minute by which gossip ran late, in milliseconds.
    pub lag_ms: u64,
    /// Datagrams and messages that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// What happened to a MAC address, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbHistory {
    /// One each.
    pub entries: Vec<FdbHistoryEntry>,
}

/// Something that happened to a MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbHistoryEntry {
    /// Seconds since then.
    pub age_s: u64,
    /// The VNI of its network.
    pub vni: Vni,
    /// The MAC address.
    pub mac: MacAddr,
    /// What happened.
    pub event: FdbEvent,
    /// Where it was, such as `port web`, `node node-b` or `peer 10.0.0.9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where it is since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Its mobility sequence number since then ([RFC 7432 §7.7](https://www.rfc-editor.org/rfc/rfc7432#section-7.7)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mob_seq: Option<u32>,
}

/// What can happen to a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FdbEvent {
    /// It sent its first frame.
    Learned,
    /// The configuration or the command line put it there.
    Configured,
    /// Another node said that it is there.
    Claimed,
    /// It was seen, or claimed, elsewhere.
    Moved,
    /// It is configured here, and at another node.
    Duplicate,
    /// It moved too often: no frame moves it any more.
    Frozen,
    /// It may move again.
    Thawed,
    /// Whoever claimed it does so no more, or is down.
    Withdrawn,
    /// It was not seen for too long.
    Aged,
    /// It made way at a limit.
    Evicted,
    /// A command removed it, or it went with its port, peer or network.
    Deleted,
}

/// The keys of gossip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// One each, the one in use first.
    pub entries: Vec<KeyEntry>,
}

/// One key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// Its id: 8 hex digits.
    pub id: String,
    /// Whether this node seals with it.
    pub in_use: bool,
    /// The names of live nodes whose latest datagram was sealed with it.
    pub members: Vec<String>,
    /// The names of live nodes of which that is not so: they seal with another one, or were not heard yet.
    pub others: Vec<String>,
}

/// One key on its way to the daemon; `Debug` shows its id only.
///
/// # Examples
///
/// ```
/// use weft::control::protocol::SecretKey;
///
/// let text = "07".repeat(32);
/// let key: SecretKey = format!("{text}   # the new one\n").parse()?;
/// assert!(!format!("{key:?}").contains(&text));
/// assert!("0707".parse::<SecretKey>().is_err());
/// # Ok::<(), weft::control::protocol::SecretKeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey(Key);

/// Text that is no [`SecretKey`]; no message shows a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// There is no key in it.
    #[error(transparent)]
    Text(#[from] KeyFileError),
    /// There are several.
    #[error("there are {0} keys in it: give one at a time")]
    Several(usize),
}

impl SecretKey {
    /// The key itself.
    #[must_use]
    pub fn into_key(self) -> Key {
        self.0
    }
}

impl std::str::FromStr for SecretKey {
    type Err = SecretKeyError;
    /// Takes the text of a key file with one key.
    fn from_str(text: &str) -> Result<Self, SecretKeyError> {
        Self::try_from(&Keyring::parse(text)?)
    }
}

impl TryFrom<&Keyring> for SecretKey {
    type Error = SecretKeyError;
    fn try_from(ring: &Keyring) -> Result<Self, SecretKeyError> {
        match ring.ids().count() {
            1 => Ok(Self(ring.first().clone())),
            several => Err(SecretKeyError::Several(several)),
        }
    }
}

impl Serialize for SecretKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        text.parse().map_err(D::Error::custom)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_false(value: &bool) -> bool {
    !*value
}
