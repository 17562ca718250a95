//! The identity of a node on disk: which node it is, and how often it started.
//!
//! `identity` in the state directory has both as text with a checksum, `identity.1` is a second copy. Both are replaced,
//! `identity.1` first, each by a file that is written, synced and renamed. So at each moment at least one copy is whole,
//! whichever is damaged the other tells at least the epoch that was last told to anybody, and no epoch is used twice.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fdb::gossip::identity::{Epoch, NodeId};

use super::{file, random};

mod record;
#[cfg(test)]
mod tests;

pub use self::record::Flaw;
use self::record::Record;

const IDENTITY: &str = "identity";
const COPY: &str = "identity.1";
const UNFINISHED: &str = "identity.tmp";
const LOCK: &str = "lock";

/// Who this node is: read, counted up and persisted at each start. No other daemon can use the directory while it lives.
///
/// # Examples
///
/// ```
/// use fdb::gossip::identity::Epoch;
/// use weft::io::state::{Identity, StateError};
///
/// let directory = tempfile::tempdir()?;
/// let first = Identity::start(directory.path())?;
/// assert_eq!(first.epoch(), Epoch::new(1));
/// assert!(matches!(Identity::start(directory.path()), Err(StateError::InUse { .. })));
///
/// let node = first.node();
/// drop(first);
/// let second = Identity::start(directory.path())?;
/// assert_eq!((second.node(), second.epoch()), (node, Epoch::new(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Identity {
    directory: PathBuf,
    record: Record,
    damage: Option<Damage>,
    /// Locked while it is open.
    _lock: File,
}

/// A copy of the identity that was unusable, and has been replaced.
#[derive(Debug, thiserror::Error)]
#[error("{path} {flaw}, and has been written anew from the other copy: look whether the disk is sound")]
pub struct Damage {
    /// The copy.
    pub path: PathBuf,
    /// What was wrong with it.
    pub flaw: Flaw,
}

/// Why a node has no identity; it must not speak to others then.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory cannot be made or used.
    #[error(
        "cannot use the state directory {}: {source}; {}, with `state_dir` in [node]",
        path.display(),
        file::remedy(source)
    )]
    Directory {
        /// The directory, or a file in it that was to be opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon has the directory.
    #[error(
        "another weft{} uses the state directory {}: stop it, or give this one its own `state_dir` in [node]",
        process.map(|id| format!(" (process {id})")).unwrap_or_default(),
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other's process, if it could say so.
        process: Option<u32>,
    },
    /// There are copies, and none can be used.
    #[error(
        "the identity of this node cannot be read: {} {first}, and {} {second}; bring one of them back from a backup, or \
         remove both to start as a new node",
        directory.join(IDENTITY).display(),
        directory.join(COPY).display()
    )]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with `identity`.
        first: Flaw,
        /// What is wrong with `identity.1`.
        second: Flaw,
    },
    /// The copies are of two nodes.
    #[error(
        "{} and {} in it are of two nodes, {first} and {second}: remove the one that is not of this node",
        directory.join(IDENTITY).display(),
        COPY
    )]
    TwoNodes {
        /// The directory.
        directory: PathBuf,
        /// The node in `identity`.
        first: NodeId,
        /// The node in `identity.1`.
        second: NodeId,
    },
    /// There is no higher epoch.
    #[error("node {node} cannot start once more, it has the highest epoch there is: remove {} to start as a new node", directory.display())]
    NoEpochLeft {
        /// The directory.
        directory: PathBuf,
        /// The node.
        node: NodeId,
    },
    /// The kernel gives no random octets for a new node.
    #[error("no random octets for the identity of a new node: {0}; allow the system call getrandom")]
    Random(io::Error),
    /// The new epoch could not be persisted.
    #[error("cannot persist the identity of this node in {}: {source}; {}", path.display(), file::remedy(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Identity {
    /// Starts the node whose state this directory has, in its next epoch; a new node in epoch 1 when there is none. The epoch
    /// is on the disk when this returns. A missing directory is made, with mode 0700.
    ///
    /// # Errors
    ///
    /// [`StateError`]; then nothing may be told to other nodes. A damaged identity is never replaced by a new one.
    pub fn start(directory: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Directory { path: directory.to_owned(), source };
        file::make_private_directory(directory).map_err(failed)?;
        let lock = lock(directory)?;
        let (record, damage) = read(directory)?;
        let record = match record {
            None => Record {
                node: NodeId::new(random::random_u128().map_err(StateError::Random)?),
                epoch: Epoch::new(1),
            },
            Some(Record { node, epoch }) => match epoch.next() {
                Some(epoch) => Record { node, epoch },
                None => return Err(StateError::NoEpochLeft { directory: directory.to_owned(), node }),
            },
        };
        write(directory, record)?;
        Ok(Self { directory: directory.to_owned(), record, damage, _lock: lock })
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.record.node
    }

    /// The epoch that this start, or [`raise`](Self::raise), persisted.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.record.epoch
    }

    /// The copy that was found damaged at the start, for a warning.
    #[must_use]
    pub const fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Goes over to a higher epoch, which is on the disk when this returns; one that is not higher changes nothing.
    ///
    /// # Errors
    ///
    /// [`StateError::Write`]: the epoch is the old one then, and the new one must not be told to others.
    pub fn raise(&mut self, epoch: Epoch) -> Result<(), StateError> {
        if epoch > self.record.epoch {
            let record = Record { epoch, ..self.record };
            write(&self.directory, record)?;
            self.record = record;
        }
        Ok(())
    }
}

/// Looks whether [`Identity::start`] could use a directory now, but for one that another daemon has. Nothing is changed.
///
/// # Errors
///
/// What it would say.
pub fn look_at(directory: &Path) -> Result<(), StateError> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let change = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(there, change)
        .map_err(|error| StateError::Directory { path: there.to_owned(), source: error.into() })?;
    read(directory).map(|_| ())
}

fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let failed = |source| StateError::Directory { path: path.clone(), source };
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    let mut lock = options.open(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let process = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            return Err(StateError::InUse { path: directory.to_owned(), process });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Only for a message of somebody else: a full disk shows when the identity is written.
    let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    Ok(lock)
}

/// The newest identity that there is, and the copy that is damaged beside it.
fn read(directory: &Path) -> Result<(Option<Record>, Option<Damage>), StateError> {
    let copy = |name: &str| Record::load(&directory.join(name));
    let damage = |name: &str, flaw| Some(Damage { path: directory.join(name), flaw });
    Ok(match (copy(IDENTITY), copy(COPY)) {
        (Ok(first), Ok(second)) if first.node != second.node => {
            let directory = directory.to_owned();
            return Err(StateError::TwoNodes { directory, first: first.node, second: second.node });
        }
        (Ok(first), Ok(second)) => (Some(Record { epoch: first.epoch.max(second.epoch), ..first }), None),
        (Err(Flaw::Missing), Err(Flaw::Missing)) => (None, None),
        // A power cut came before both were written.
        (Ok(record), Err(Flaw::Missing)) | (Err(Flaw::Missing), Ok(record)) => (Some(record), None),
        (Ok(record), Err(flaw)) => (Some(record), damage(COPY, flaw)),
        (Err(flaw), Ok(record)) => (Some(record), damage(IDENTITY, flaw)),
        (Err(first), Err(second)) => {
            return Err(StateError::Unusable { directory: directory.to_owned(), first, second });
        }
    })
}

fn write(directory: &Path, record: Record) -> Result<(), StateError> {
    let text = record.encode();
    for name in [COPY, IDENTITY] {
        let path = directory.join(name);
        file::replace(&path, &directory.join(UNFINISHED), text.as_bytes())
            .map_err(|source| StateError::Write { path, source })?;
    }
    Ok(())
}
