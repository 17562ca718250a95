//! Network namespaces: how the configuration names one, and how to run something inside one.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags};
use serde::{Deserialize, Serialize};

use crate::sys;

/// What `statfs` calls the file system of namespace files (`NSFS_MAGIC`).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// A network namespace as a user names it: a path such as `/run/netns/pod-a`, or `pid:N`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NetnsRef {
    /// A file that stands for the namespace.
    Path(PathBuf),
    /// The namespace of a process.
    Pid(u32),
}

/// Text that names no namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" names no network namespace: use an absolute path such as /run/netns/pod-a, or pid:N")]
pub struct NetnsRefError {
    text: String,
}

impl NetnsRef {
    /// The file that stands for the namespace.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
        }
    }

    /// Opens the namespace, which keeps it alive while the result lives.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such file or process; `InvalidInput` when the file stands for no namespace, such
    /// as the empty file that a crash left in `/run/netns`; else what the system says.
    pub fn open(&self) -> io::Result<Netns> {
        Netns::open(&self.path())
    }

    /// What tells this namespace from a later one of the same name; `None` when there is none (now).
    #[must_use]
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.open().ok().map(|netns| netns.identity())
    }
}

/// A network namespace, held open.
///
/// # Examples
///
/// ```
/// use weft::io::netns::Netns;
///
/// let here = Netns::current()?;
/// assert_eq!(here.identity(), Netns::current()?.identity());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Netns {
    file: File,
    identity: (u64, u64),
}

impl Netns {
    /// The calling thread's own namespace.
    ///
    /// # Errors
    ///
    /// What the system says when `/proc` is missing.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        #[allow(clippy::useless_conversion)] // the width of `f_type` depends on the architecture
        if i64::from(rustix::fs::fstatfs(&file)?.f_type) != NSFS_MAGIC {
            let why = format!("{} is a file, but stands for no network namespace", path.display());
            // `ip netns add` makes an empty file first and mounts the namespace over it.
            let coming = file.metadata()?.len() == 0;
            let kind = if coming { io::ErrorKind::NotFound } else { io::ErrorKind::InvalidInput };
            return Err(io::Error::new(kind, why));
        }
        let metadata = file.metadata()?;
        Ok(Self { file, identity: (metadata.dev(), metadata.ino()) })
    }

    /// Device and inode of the namespace: equal for two names of one namespace.
    #[must_use]
    pub const fn identity(&self) -> (u64, u64) {
        self.identity
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Runs `work` in a network namespace, on a thread of its own, and waits for it: the calling thread never moves.
///
/// What `work` opens (sockets, TAPs) stays in that namespace. Entering needs `CAP_SYS_ADMIN`.
///
/// # Errors
///
/// The system's refusal to enter the namespace, else what `work` returned.
pub fn run_in<T: Send>(netns: &Netns, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = move || {
            sys::netns::enter(netns.as_fd())?;
            work()
        };
        let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, inside)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into a new network namespace and returns it; needs `CAP_SYS_ADMIN`.
///
/// # Errors
///
/// The system's refusal.
pub fn enter_new() -> io::Result<Netns> {
    sys::netns::leave(sys::netns::Also::default())?;
    Netns::current()
}

/// Moves the process into a new network namespace where `directory` is empty and in memory: nothing that is done from
/// now on outlives the process and its children, however they end.
///
/// Without `CAP_SYS_ADMIN` the process also becomes root of a user namespace of its own. It must have one thread only.
///
/// # Errors
///
/// The system's refusal, such as where user namespaces are forbidden; the process is of no further use then.
pub fn enter_sandbox(directory: &Path) -> io::Result<Netns> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let also = sys::netns::Also { user: false, mounts: true };
    match sys::netns::leave(also) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            sys::netns::leave(sys::netns::Also { user: true, ..also })?;
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
        }
        result => result?,
    }
    // Else the mount would show up outside.
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    rustix::mount::mount("tmpfs", directory, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    Netns::current()
}

impl FromStr for NetnsRef {
    type Err = NetnsRefError;
    fn from_str(text: &str) -> Result<Self, NetnsRefError> {
        match text.strip_prefix("pid:").map(str::parse) {
            Some(Ok(pid)) => Ok(Self::Pid(pid)),
            None if text.starts_with('/') => Ok(Self::Path(PathBuf::from(text))),
            _ => Err(NetnsRefError { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for NetnsRef {
    type Error = NetnsRefError;
    fn try_from(text: String) -> Result<Self, NetnsRefError> {
        text.parse()
    }
}

impl From<NetnsRef> for String {
    fn from(netns: NetnsRef) -> Self {
        netns.to_string()
    }
}

impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
        }
    }
}

#[cfg(test)]
pub(in crate::io) mod tests;
