//! What is wrong with a configuration, said so that it can be mended in one go.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line of the file, counted from 1; `None` when the value came from no file.
    pub line: Option<usize>,
    /// What is wrong with which key, and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The text is wrong; nothing of it is in use.
    Invalid {
        /// The file; `None` when the text came from none.
        path: Option<PathBuf>,
        /// All that is wrong, by line.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    pub(super) fn invalid(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self::Invalid { path: None, problems }
    }

    pub(super) fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Invalid { problems, .. } => Self::Invalid { path: Some(file.to_owned()), problems },
            read @ Self::Read { .. } => read,
        }
    }

    /// All that is wrong with the text; empty when it could not even be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            Self::Read { .. } => &[],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => {
                let next = match source.kind() {
                    io::ErrorKind::NotFound => {
                        "write it (configs/minimal.toml, or /usr/share/doc/weft/examples, is a beginning), or name \
                         another file"
                    }
                    io::ErrorKind::PermissionDenied => "use sudo, or let this user read it",
                    _ => "name a readable file",
                };
                write!(f, "cannot read the configuration {}: {source}; {next}", path.display())
            }
            Self::Invalid { path, problems } => {
                match path {
                    Some(path) => write!(f, "the configuration {} is invalid", path.display())?,
                    None => write!(f, "the configuration is invalid")?,
                }
                match problems.len() {
                    1 => write!(f, " (1 problem):")?,
                    n => write!(f, " ({n} problems):")?,
                }
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Invalid { .. } => None,
        }
    }
}
