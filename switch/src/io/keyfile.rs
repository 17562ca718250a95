//! The file with the keys of gossip: who may read it, and how it is replaced.
//!
//! What the text means is for [`Keyring::parse`].

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fdb::gossip::seal::{KeyFileError, Keyring};

use super::file::{self, Exposure};

#[cfg(test)]
mod tests;

/// The largest key file, in octets: 4 keys, and room for comments.
pub const MAX_OCTETS: usize = 4096;

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {source}; {}", path.display(), reading_remedy(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory, a pipe, a device.
    #[error("the key file {} is no regular file: name one in `key_file` of [gossip]", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Others than its owner may read or write it, or it may be run.
    #[error("the key file {} has mode {mode:04o}, so that others may use it or its keys: `chmod 600 {0}`", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else could change it.
    #[error(
        "the key file {} belongs to user {owner}, who could change the keys: `chown {user} {0}`",
        path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// This user.
        user: u32,
    },
    /// It is no key file.
    #[error("the key file {} has more than {MAX_OCTETS} octets: name the right file in `key_file` of [gossip]", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no text.
    #[error("the key file {} is no text: name the right file, or make one with `weft key new --output FILE`", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The text is wrong.
    #[error("the key file {} is not used: {source}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Which line, and why.
        source: KeyFileError,
    },
}

/// Why a key file was not written; one that was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A new file was asked for, and the name is taken.
    #[error("{} exists already, and its keys may be in use: name another file, or remove it first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write the key file {}: {source}; {}", path.display(), file::remedy(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the keys of a file that only its owner, root or this user, can use.
///
/// # Errors
///
/// [`LoadError`], each with the next step; none shows a part of a key.
///
/// # Examples
///
/// ```
/// use std::fs::{self, Permissions};
/// use std::os::unix::fs::PermissionsExt;
///
/// use fdb::gossip::seal::{Key, Keyring};
/// use weft::io::keyfile;
///
/// let directory = tempfile::tempdir()?;
/// let file = directory.path().join("gossip.key");
/// let ring = Keyring::new(Key::random(&mut weft::io::random::os_rng()?));
/// keyfile::create(&file, &ring)?;
/// assert_eq!(keyfile::load(&file)?, ring);
///
/// fs::set_permissions(&file, Permissions::from_mode(0o640))?;
/// assert!(keyfile::load(&file).unwrap_err().to_string().contains("chmod 600"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load(path: &Path) -> Result<Keyring, LoadError> {
    let named = || path.to_owned();
    let contents =
        file::read(path, MAX_OCTETS).map_err(|source| LoadError::Read { path: named(), source })?;
    match file::exposure(&contents.metadata) {
        Some(Exposure::NotAFile) => return Err(LoadError::NotAFile { path: named() }),
        Some(Exposure::Mode(mode)) => return Err(LoadError::Mode { path: named(), mode }),
        Some(Exposure::Owner { owner, user }) => return Err(LoadError::Owner { path: named(), owner, user }),
        None => {}
    }
    if contents.octets.len() > MAX_OCTETS {
        return Err(LoadError::TooLarge { path: named() });
    }
    let text = str::from_utf8(&contents.octets).map_err(|_| LoadError::NotText { path: named() })?;
    Keyring::parse(text).map_err(|source| LoadError::Keys { path: named(), source })
}

/// Makes a new key file with mode 0600.
///
/// # Errors
///
/// [`SaveError::Exists`] for a name that is taken; else the system's refusal.
pub fn create(path: &Path, keys: &Keyring) -> Result<(), SaveError> {
    file::create(path, keys.to_text().as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SaveError::Exists { path: path.to_owned() },
        _ => SaveError::Write { path: path.to_owned(), source },
    })
}

/// Replaces the keys of a file, whose mode is 0600 then; comments in it are lost. A link goes on pointing at the file.
///
/// # Errors
///
/// [`SaveError::Write`]: the file is as it was, unless only the last step failed, to make it outlive a power cut.
pub fn save(path: &Path, keys: &Keyring) -> Result<(), SaveError> {
    let replaced = fs::canonicalize(path).and_then(|target| {
        // Two daemons of one host may share the file.
        let mut unfinished = OsString::from(".");
        unfinished.push(target.file_name().unwrap_or_default());
        unfinished.push(format!(".{}.tmp", std::process::id()));
        file::replace(&target, &target.with_file_name(unfinished), keys.to_text().as_bytes())
    });
    replaced.map_err(|source| SaveError::Write { path: path.to_owned(), source })
}

fn reading_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "make one with `weft key new --output FILE`, or copy that of another node",
        io::ErrorKind::PermissionDenied => "use sudo, or make this user its owner",
        _ => "name a readable file in `key_file` of [gossip]",
    }
}
