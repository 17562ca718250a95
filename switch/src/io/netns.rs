//! Network namespaces: how the configuration names one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
