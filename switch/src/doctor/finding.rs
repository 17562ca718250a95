//! What was found.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that was found, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether anything is wrong: notes are not.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity < Severity::Note)
    }
}

/// One group of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What holds if it found nothing.
    pub fine: String,
    /// How much it found.
    pub findings: usize,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Frames do not get through.
    Error,
    /// They do, but not as they should, or not all.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its name for scripts, such as `port_filtered`.
    pub code: String,
    /// What it concerns, such as `node`, `peer node-b` or `network pods`.
    pub subject: String,
    /// What is so.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// What to do.
    pub mend: String,
    /// What `weft doctor --fix` would do, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<Fix>,
}

/// A setting of the kernel that mends something. Only those that the doctor knows can be named: whoever says that it is a
/// weft daemon cannot have root write anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFix", into = "RawFix")]
pub struct Fix {
    setting: Setting,
    value: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Setting {
    /// How large a receive buffer anybody may ask for.
    ReceiveBuffer,
    /// How large a send buffer.
    SendBuffer,
    /// Whether packets may come another way than their answers go: 2 = they may, if there is any way back.
    ReversePath { device: String },
}

/// A fix as it is written.
#[derive(Serialize, Deserialize)]
struct RawFix {
    name: String,
    value: u32,
}

/// What is no fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no kernel setting that weft doctor changes: compare `weft --version` with `weft status`")]
pub struct FixError(String);

impl Fix {
    /// Lets everybody ask for receive buffers of so many octets.
    #[must_use]
    pub const fn receive_buffer(octets: u32) -> Self {
        Self { setting: Setting::ReceiveBuffer, value: octets }
    }

    /// Lets everybody ask for send buffers of so many octets.
    #[must_use]
    pub const fn send_buffer(octets: u32) -> Self {
        Self { setting: Setting::SendBuffer, value: octets }
    }

    /// Makes the reverse path filter of a device a loose one.
    ///
    /// # Errors
    ///
    /// [`FixError`]: no device has such a name.
    pub fn loose_reverse_path(device: &str) -> Result<Self, FixError> {
        let odd = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        if device.is_empty() || device.len() > 15 || [".", ".."].contains(&device) || device.contains(odd) {
            return Err(FixError(device.to_owned()));
        }
        Ok(Self { setting: Setting::ReversePath { device: device.to_owned() }, value: 2 })
    }

    /// The setting's name as `sysctl` has it: a dot in the name of a device is written as a slash.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.setting {
            Setting::ReceiveBuffer => "net.core.rmem_max".to_owned(),
            Setting::SendBuffer => "net.core.wmem_max".to_owned(),
            Setting::ReversePath { device } => {
                format!("net.ipv4.conf.{}.rp_filter", device.replace('.', "/"))
            }
        }
    }

    /// The file that stands for the setting.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match &self.setting {
            Setting::ReceiveBuffer => PathBuf::from("/proc/sys/net/core/rmem_max"),
            Setting::SendBuffer => PathBuf::from("/proc/sys/net/core/wmem_max"),
            Setting::ReversePath { device } => {
                PathBuf::from("/proc/sys/net/ipv4/conf").join(device).join("rp_filter")
            }
        }
    }

    /// What it is set to.
    #[must_use]
    pub const fn value(&self) -> u32 {
        self.value
    }
}

impl fmt::Display for Fix {
    /// As a person would type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sysctl -w {}={}", self.name(), self.value)
    }
}

impl From<Fix> for RawFix {
    fn from(fix: Fix) -> Self {
        Self { name: fix.name(), value: fix.value }
    }
}

impl TryFrom<RawFix> for Fix {
    type Error = FixError;

    fn try_from(raw: RawFix) -> Result<Self, FixError> {
        let device = raw.name.strip_prefix("net.ipv4.conf.").and_then(|rest| rest.strip_suffix(".rp_filter"));
        let known = match device {
            Some(device) => Self::loose_reverse_path(&device.replace('/', "."))?,
            None if raw.name == Self::send_buffer(raw.value).name() => Self::send_buffer(raw.value),
            None => Self::receive_buffer(raw.value),
        };
        if RawFix::from(known.clone()).name != raw.name || known.value != raw.value {
            return Err(FixError(format!("{}={}", raw.name, raw.value)));
        }
        Ok(known)
    }
}
