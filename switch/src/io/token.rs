//! The file with the token that requests over HTTP must have, where others than this host can send them.

use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::{self, Exposure};

#[cfg(test)]
mod tests;

/// The fewest octets of a token: what cannot be guessed.
pub const MIN_OCTETS: usize = 32;
/// The most, so that it fits into a request.
pub const MAX_OCTETS: usize = 1024;

/// A token; `Debug` shows nothing of it.
pub struct Token(Zeroizing<Vec<u8>>);

/// Why a token file is not used. No message shows a part of the token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {}: {source}; make it with `openssl rand -hex 32`, for the daemon's user only", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory, a pipe, a device.
    #[error("the token file {} is no regular file: name one in `token_file` of [api]", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Others than its owner may read or write it, or it may be run.
    #[error("the token file {} has mode {mode:04o}, so that others may use the token: `chmod 600 {0}`", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else could change it.
    #[error("the token file {} belongs to user {owner}, who could change the token: `chown {user} {0}`", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// This user.
        user: u32,
    },
    /// It can be guessed, or does not fit into a request.
    #[error(
        "the token in {} has {octets} octets, and must have {MIN_OCTETS} to {MAX_OCTETS}: make it with `openssl rand -hex 32`",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// The octets of the token; of one that is too long, those that were read.
        octets: usize,
    },
    /// A request cannot have it.
    #[error(
        "the token in {} is not one line of printable ASCII without spaces: make it with `openssl rand -hex 32`",
        path.display()
    )]
    Characters {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// Reads the token from a file that only its owner, root or this user, can use; spaces and newlines around it are not
    /// part of it.
    ///
    /// # Errors
    ///
    /// [`TokenError`], each with the next step.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::{self, Permissions};
    /// use std::os::unix::fs::PermissionsExt;
    ///
    /// use weft::io::token::Token;
    ///
    /// let directory = tempfile::tempdir()?;
    /// let file = directory.path().join("http.token");
    /// fs::write(&file, "0123456789abcdef0123456789abcdef\n")?;
    /// fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    /// let token = Token::load(&file)?;
    /// assert!(token.is(b"0123456789abcdef0123456789abcdef"));
    ///
    /// fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    /// assert!(Token::load(&file).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let named = || path.to_owned();
        let contents =
            file::read(path, MAX_OCTETS).map_err(|source| TokenError::Read { path: named(), source })?;
        match file::exposure(&contents.metadata) {
            Some(Exposure::NotAFile) => return Err(TokenError::NotAFile { path: named() }),
            Some(Exposure::Mode(mode)) => return Err(TokenError::Mode { path: named(), mode }),
            Some(Exposure::Owner { owner, user }) => {
                return Err(TokenError::Owner { path: named(), owner, user });
            }
            None => {}
        }
        let token = contents.octets.trim_ascii();
        if !(MIN_OCTETS..=MAX_OCTETS).contains(&token.len()) {
            return Err(TokenError::Length { path: named(), octets: token.len() });
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Characters { path: named() });
        }
        Ok(Self(Zeroizing::new(token.to_vec())))
    }

    /// Whether `given` is the token; how long that takes tells the length of the token and nothing else of it.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        let differing = self.0.iter().zip(given).fold(0, |all, (own, other)| black_box(all | (own ^ other)));
        self.0.len() == given.len() && differing == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}
