use std::os::unix::fs::PermissionsExt;

use rustix::mount::{MountFlags, MountPropagationFlags};
use tempfile::TempDir;

use super::*;
use crate::sys;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Starts, and ends again: the node and its epoch.
fn once(directory: &Path) -> (NodeId, u64) {
    let identity = Identity::start(directory).unwrap();
    (identity.node(), identity.epoch().get())
}

fn refusal(directory: &Path) -> String {
    Identity::start(directory).unwrap_err().to_string()
}

#[test]
fn each_start_is_the_same_node_in_the_next_epoch() {
    let directory = directory();
    let (node, epoch) = once(directory.path());
    assert_eq!(epoch, 1);
    assert_eq!(once(directory.path()), (node, 2));
    assert_eq!(once(directory.path()), (node, 3));
}

#[test]
fn two_new_nodes_are_two_nodes() {
    assert_ne!(once(directory().path()).0, once(directory().path()).0);
}

#[test]
fn a_missing_directory_is_made_for_this_user_only() {
    let directory = directory();
    let below = directory.path().join("a/b");
    once(&below);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&below), mode(&below.join(IDENTITY)), mode(&below.join(COPY))), (0o700, 0o600, 0o600));
}

#[test]
fn a_raised_epoch_is_persisted_and_never_falls() {
    let directory = directory();
    let mut identity = Identity::start(directory.path()).unwrap();
    identity.raise(Epoch::new(50)).unwrap();
    identity.raise(Epoch::new(49)).unwrap();
    assert_eq!(identity.epoch(), Epoch::new(50));
    drop(identity);
    assert_eq!(once(directory.path()).1, 51);
}

#[test]
fn no_epoch_comes_twice_whichever_copy_is_cut_or_gone() {
    let directory = directory();
    let (node, mut before) = once(directory.path());
    for name in [IDENTITY, COPY] {
        let path = directory.path().join(name);
        for end in 0..fs::read(&path).unwrap().len() {
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..end.min(whole.len() - 1)]).unwrap();
            let identity = Identity::start(directory.path()).unwrap();
            assert_eq!((identity.node(), identity.epoch().get()), (node, before + 1), "{name} cut at {end}");
            let damage = identity.damage().expect("a warning").to_string();
            assert!(damage.contains(&path.display().to_string()), "{damage}");
            before += 1;
        }
        fs::remove_file(&path).unwrap();
        let identity = Identity::start(directory.path()).unwrap();
        assert_eq!((identity.node(), identity.epoch().get()), (node, before + 1), "{name} gone");
        assert!(identity.damage().is_none());
        before += 1;
    }
}

#[test]
fn the_epoch_of_a_start_that_a_power_cut_ended_counts() {
    let directory = directory();
    let (node, _) = once(directory.path());
    // `identity.1` is written first.
    let record = Record { node, epoch: Epoch::new(9) };
    fs::write(directory.path().join(COPY), record.encode()).unwrap();
    fs::write(directory.path().join(UNFINISHED), "weft iden").unwrap();
    assert_eq!(once(directory.path()), (node, 10));
    assert!(!directory.path().join(UNFINISHED).exists());
}

#[test]
fn without_a_good_copy_there_is_no_new_identity() {
    for (first, second) in [(Some(""), Some("")), (Some("garbage"), None), (None, Some("weft identity 1\n"))]
    {
        let directory = directory();
        for (name, text) in [(IDENTITY, first), (COPY, second)] {
            if let Some(text) = text {
                fs::write(directory.path().join(name), text).unwrap();
            }
        }
        let text = refusal(directory.path());
        assert!(text.contains("the identity of this node cannot be read"), "{text}");
        assert!(text.contains("bring one of them back from a backup, or remove both"), "{text}");
        let now = fs::read_to_string(directory.path().join(IDENTITY)).ok();
        assert_eq!(now.as_deref(), first, "it was touched");
    }
    let directory = directory();
    fs::create_dir(directory.path().join(IDENTITY)).unwrap();
    let text = refusal(directory.path());
    assert!(
        text.contains("cannot be read (not a regular file)") && text.contains("identity.1 does not exist"),
        "{text}"
    );
}

#[test]
fn copies_of_two_nodes_are_refused() {
    let (one, other) = (directory(), directory());
    once(one.path());
    once(other.path());
    fs::copy(other.path().join(COPY), one.path().join(COPY)).unwrap();
    let text = refusal(one.path());
    assert!(text.contains("are of two nodes") && text.contains("remove the one"), "{text}");
}

#[test]
fn after_the_highest_epoch_there_is_no_start() {
    let directory = directory();
    let mut identity = Identity::start(directory.path()).unwrap();
    identity.raise(Epoch::MAX).unwrap();
    drop(identity);
    assert!(matches!(Identity::start(directory.path()), Err(StateError::NoEpochLeft { .. })));
}

#[test]
fn one_daemon_at_a_time_uses_a_directory() {
    let directory = directory();
    let _first = Identity::start(directory.path()).unwrap();
    let text = refusal(directory.path());
    assert!(text.starts_with(&format!("another weft (process {}) uses", std::process::id())), "{text}");
    assert!(text.ends_with("stop it, or give this one its own `state_dir` in [node]"), "{text}");
}

#[test]
fn a_place_that_cannot_be_a_directory_is_named() {
    let directory = directory();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/weft/state")] {
        let text = refusal(&path);
        assert!(text.starts_with(&format!("cannot use the state directory {}: ", path.display())), "{text}");
        assert!(text.contains("`state_dir` in [node]"), "{text}");
    }
}

#[test]
fn an_epoch_that_cannot_be_persisted_is_not_taken() {
    let directory = directory();
    let mut identity = Identity::start(directory.path()).unwrap();
    // In the way of the file that is renamed.
    fs::create_dir(directory.path().join(UNFINISHED)).unwrap();
    let text = identity.raise(Epoch::new(9)).unwrap_err().to_string();
    assert!(text.starts_with("cannot persist the identity of this node in "), "{text}");
    assert_eq!(identity.epoch(), Epoch::new(1));
}

/// Runs `work` where `directory` is a small file system of its own, made with these options and flags.
fn on_a_mount(directory: &Path, options: &std::ffi::CStr, flags: MountFlags, work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let inside = || {
            sys::netns::leave(sys::netns::Also { user: false, mounts: true }).unwrap();
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            rustix::mount::mount("tmpfs", directory, "tmpfs", flags, options).unwrap();
            work();
        };
        scope.spawn(inside).join().unwrap();
    });
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_full_directory_is_said_to_be_full() {
    let directory = directory();
    on_a_mount(directory.path(), c"size=32k", MountFlags::empty(), || {
        let full = fs::write(directory.path().join("ballast"), [0; 1 << 16]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let text = refusal(directory.path());
        assert!(text.contains("cannot persist the identity") && text.contains("No space left"), "{text}");
        assert!(text.ends_with("make room on that file system"), "{text}");
        fs::remove_file(directory.path().join("ballast")).unwrap();
        once(directory.path());
    });
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_read_only_directory_is_said_to_be_so() {
    let directory = directory();
    on_a_mount(directory.path(), c"size=4k", MountFlags::RDONLY, || {
        let text = refusal(directory.path());
        assert!(text.contains("Read-only file system") && text.contains("ReadWritePaths="), "{text}");
        assert!(text.contains("`state_dir` in [node]"), "{text}");
    });
}
