use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use fdb::gossip::seal::Key;
use tempfile::TempDir;

use super::*;

fn ring() -> Keyring {
    let mut ring = Keyring::new(Key::new([1; 32]));
    ring.install(Key::new([2; 32])).unwrap();
    ring
}

/// A directory with a key file of this text and mode.
fn with_text(text: impl AsRef<[u8]>, mode: u32) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gossip.key");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    (directory, file)
}

fn refusal(file: &Path) -> String {
    load(file).unwrap_err().to_string()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o7777
}

#[test]
fn what_was_saved_is_loaded_with_mode_0600() {
    let (_directory, file) = with_text("old", 0o644);
    save(&file, &ring()).unwrap();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(load(&file).unwrap(), ring());
    let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "something is left beside it");
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let (directory, file) = with_text("old", 0o600);
    let link = directory.path().join("link");
    symlink(&file, &link).unwrap();
    save(&link, &ring()).unwrap();
    assert!(link.is_symlink());
    assert_eq!((load(&link).unwrap(), load(&file).unwrap()), (ring(), ring()));
}

#[test]
fn only_its_owner_may_read_or_write_it() {
    for good in [0o600, 0o400] {
        let (_directory, file) = with_text(ring().to_text().as_bytes(), good);
        assert_eq!(load(&file).unwrap(), ring(), "{good:o}");
    }
    for bad in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o700, 0o644, 0o4600] {
        let (_directory, file) = with_text(ring().to_text().as_bytes(), bad);
        let text = refusal(&file);
        assert!(text.contains(&format!("has mode {bad:04o}")), "{text}");
        assert!(text.ends_with(&format!("`chmod 600 {}`", file.display())), "{text}");
    }
}

#[test]
fn only_root_and_this_user_may_own_it() {
    use crate::io::file::is_trusted;
    assert!(is_trusted(0, 7) && is_trusted(7, 7) && is_trusted(0, 0));
    assert!(!is_trusted(7, 0) && !is_trusted(7, 8));
    let error = LoadError::Owner { path: "/k".into(), owner: 7, user: 0 };
    assert_eq!(
        error.to_string(),
        "the key file /k belongs to user 7, who could change the keys: `chown 0 /k`"
    );
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_file_of_another_user_is_refused() {
    let (_directory, file) = with_text(ring().to_text().as_bytes(), 0o600);
    std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
    assert!(matches!(load(&file), Err(LoadError::Owner { owner: 12_345, .. })));
}

#[test]
fn what_is_no_file_of_keys_is_refused_with_the_next_step() {
    let (directory, file) = with_text("", 0o600);
    assert!(refusal(&file).contains("has no key"), "{}", refusal(&file));
    assert!(refusal(directory.path()).contains("is no regular file"));
    assert!(refusal(Path::new("/dev/null")).contains("is no regular file"));
    let missing = refusal(&directory.path().join("none"));
    assert!(missing.contains("none: No such file") && missing.contains("weft key new --output"), "{missing}");
    let beneath = refusal(&file.join("below"));
    assert!(beneath.contains("name a readable file in `key_file`"), "{beneath}");

    let wrong = format!("{}\nsecret", "ab".repeat(32));
    let (_directory, file) = with_text(wrong, 0o600);
    let text = refusal(&file);
    assert!(text.contains("line 2 is no key") && text.contains("weft key new"), "{text}");
    assert!(!text.contains("secret") && !text.contains("abab"), "{text}");

    let (_directory, file) = with_text([0xff; 70], 0o600);
    assert!(refusal(&file).contains("is no text"), "{}", refusal(&file));
}

#[test]
fn a_named_pipe_is_refused_without_waiting_for_a_writer() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(matches!(load(&pipe), Err(LoadError::NotAFile { .. })));
}

#[test]
fn a_file_has_up_to_4_kib() {
    let keys = ring().to_text();
    let filled = |octets: usize| format!("{}#{}", keys.as_str(), "x".repeat(octets - keys.len() - 1));
    let (_directory, file) = with_text(filled(4096), 0o600);
    assert_eq!(load(&file).unwrap(), ring());
    let (_directory, file) = with_text(filled(4097), 0o600);
    assert!(matches!(load(&file), Err(LoadError::TooLarge { .. })));
}

#[test]
fn a_new_file_takes_no_name_that_is_taken() {
    let (directory, file) = with_text("precious", 0o600);
    let text = create(&file, &ring()).unwrap_err().to_string();
    assert!(text.contains("exists already"), "{text}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    // A link that leads nowhere would decide where the keys go.
    let link = directory.path().join("link");
    symlink(directory.path().join("elsewhere"), &link).unwrap();
    assert!(matches!(create(&link, &ring()), Err(SaveError::Exists { .. })));
}

#[test]
fn a_place_that_cannot_be_written_to_is_named_and_the_file_stays() {
    let (_directory, file) = with_text("old", 0o600);
    let below = file.join("gossip.key");
    for error in [create(&below, &ring()).unwrap_err(), save(&below, &ring()).unwrap_err()] {
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot write the key file {}", below.display())), "{text}");
        assert!(text.ends_with("name a place that can be written to"), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
}
