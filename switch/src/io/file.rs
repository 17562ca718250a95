//! Small files that are read and replaced as a whole.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// What a small file holds.
pub(super) struct Contents {
    /// The octets; overwritten when dropped, as they may be keys.
    pub(super) octets: Zeroizing<Vec<u8>>,
    /// What the file is and whose.
    pub(super) metadata: Metadata,
}

/// Reads a file up to one octet more than `most`; what is no regular file is not read, so that nothing waits.
pub(super) fn read(path: &Path, most: usize) -> io::Result<Contents> {
    // Else opening a named pipe would wait for somebody who writes.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    // Room for all of it at once: what grows leaves copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(most + 1));
    if metadata.is_file() {
        file.take(most as u64 + 1).read_to_end(&mut octets)?;
    }
    Ok(Contents { octets, metadata })
}

/// Why what a file holds is no secret of its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposure {
    /// It is a directory, a pipe, a device.
    NotAFile,
    /// Others than its owner may read or write it, or it may be run; this is its mode.
    Mode(u32),
    /// Somebody else, with this number, could change it; that is ours.
    Owner { owner: u32, user: u32 },
}

/// Whether others than root and this user can use a file, or change it.
pub(super) fn exposure(metadata: &Metadata) -> Option<Exposure> {
    let mode = metadata.mode() & 0o7777;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if !metadata.is_file() {
        Some(Exposure::NotAFile)
    } else if mode & !0o600 != 0 {
        Some(Exposure::Mode(mode))
    } else {
        (!is_trusted(owner, user)).then_some(Exposure::Owner { owner, user })
    }
}

/// Whether secrets that `owner` may change are those of `user`.
pub(super) const fn is_trusted(owner: u32, user: u32) -> bool {
    owner == 0 || owner == user
}

/// Makes a new file with mode 0600 that outlives a power cut; refuses a name that is taken.
pub(crate) fn create(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = fill(&mut file, octets).and_then(|()| sync_parent(path));
    if written.is_err() {
        // Best effort: half a file is of no use to anybody.
        let _ = fs::remove_file(path);
    }
    written
}

/// Replaces a file by way of another in the same directory: at each moment, also of a power cut, `path` is the old or the
/// new file, whole.
pub(super) fn replace(path: &Path, by_way_of: &Path, octets: &[u8]) -> io::Result<()> {
    match fs::remove_file(by_way_of) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => create(by_way_of, octets)?,
    }
    fs::rename(by_way_of, path)?;
    sync_parent(path)
}

/// Makes a directory, and those above it, with mode 0700; one that is there stays as it is.
pub(super) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn fill(file: &mut File, octets: &[u8]) -> io::Result<()> {
    file.write_all(octets)?;
    file.sync_all()
}

/// The name of a file is on the disk once its directory is.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// What a person can do about a file that cannot be written.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that file system",
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount that file system read-write, let the unit write there (ReadWritePaths=), or name another place"
        }
        io::ErrorKind::PermissionDenied => "use sudo, or name a place that this user may write to",
        _ => "name a place that can be written to",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_full_disk_is_an_error_of_writing() {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = fill(&mut full, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(remedy(&error).contains("make room"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_what_a_crash_left_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let (path, way) = (directory.path().join("a"), directory.path().join("a.tmp"));
        fs::write(&path, "old and longer").unwrap();
        fs::write(&way, "left by a crash, with a mode of its own").unwrap();
        replace(&path, &way, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(!way.exists());
    }

    #[test]
    fn a_file_that_exists_is_not_created_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        create(&path, b"1").unwrap();
        assert_eq!(create(&path, b"2").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }

    #[test]
    fn a_large_file_is_read_only_as_far_as_needed_to_see_that_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, [1; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap().octets.len(), 100);
        assert_eq!(read(&path, 10).unwrap().octets.len(), 11);
    }
}
