//! `[api]`: what programs may ask over HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[api]`: what programs may ask over HTTP. Every key needs a restart.
///
/// # Examples
///
/// ```
/// use weft::control::config::Config;
///
/// let config = Config::from_toml("[api]\nhttp = \"[::1]:9000\"")?;
/// assert_eq!(config.api.http.address(), Some("[::1]:9000".parse().unwrap()));
///
/// let error = Config::from_toml("[api]\nhttp = \"10.0.0.1:6787\"").unwrap_err();
/// assert!(error.to_string().contains("token_file"));
/// # Ok::<(), weft::control::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiConfig {
    /// `http`: where metrics and the state of the daemon can be asked for. Default: `"127.0.0.1:6787"`.
    pub http: Http,
    /// `token_file`: absolute path of the file with the token that each request must have, 32 octets or more. Default:
    /// none; required when `http` is not a loopback address.
    pub token_file: Option<PathBuf>,
}

/// `api.http`: where metrics and the state of the daemon can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// Not given: 127.0.0.1, port 6787.
    #[default]
    Default,
    /// `"off"`: nowhere.
    Off,
    /// `IP:PORT`, or `IP` for port 6787.
    At(SocketAddr),
}

impl Http {
    /// The port where none is given, TCP.
    pub const PORT: u16 = 6787;

    /// The address and port; `None` = HTTP is off.
    #[must_use]
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Default => Some(SocketAddr::from(([127, 0, 0, 1], Self::PORT))),
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }

    /// Whether somebody wrote it down, so that it is missed where it does not work.
    #[must_use]
    pub fn is_given(self) -> bool {
        self != Self::Default
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}
