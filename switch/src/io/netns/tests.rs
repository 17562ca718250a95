use super::*;

/// A namespace that nobody else uses; it ends with the value.
pub(in crate::io) fn fresh() -> Netns {
    thread::spawn(enter_new).join().unwrap().expect("a new network namespace (are you root?)")
}

#[test]
fn a_name_is_an_absolute_path_or_a_pid() {
    assert_eq!("pid:7".parse(), Ok(NetnsRef::Pid(7)));
    assert_eq!("/run/netns/a".parse(), Ok(NetnsRef::Path("/run/netns/a".into())));
    for wrong in ["", "pod-a", "pid:", "pid:x", "run/netns/a"] {
        assert!(wrong.parse::<NetnsRef>().is_err(), "{wrong}");
    }
}

#[test]
fn a_process_and_a_path_name_the_same_namespace() {
    let by_pid = NetnsRef::Pid(std::process::id());
    let by_path = NetnsRef::Path("/proc/self/ns/net".into());
    assert!(by_pid.identity().is_some());
    assert_eq!(by_pid.identity(), by_path.identity());
}

#[test]
fn what_does_not_exist_is_not_found_and_has_no_identity() {
    let missing = NetnsRef::Path("/run/netns/weft-no-such-namespace".into());
    assert_eq!(missing.open().unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(missing.identity(), None);
}

#[test]
fn an_ordinary_file_is_no_namespace_and_an_empty_one_is_not_yet() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let netns = NetnsRef::Path(file.path().to_owned());
    let error = netns.open().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("stands for no network namespace"), "{error}");
    io::Write::write_all(&mut file, b"text").unwrap();
    assert_eq!(netns.open().unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn work_runs_inside_and_the_caller_stays_outside() {
    let (here, there) = (Netns::current().unwrap(), fresh());
    assert_ne!(here.identity(), there.identity());
    let inside = run_in(&there, || Ok(Netns::current()?.identity())).unwrap();
    assert_eq!(inside, there.identity());
    assert_eq!(Netns::current().unwrap().identity(), here.identity());
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn an_error_of_the_work_comes_back() {
    let error = run_in(&fresh(), || Err::<(), _>(io::ErrorKind::AddrInUse.into())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
