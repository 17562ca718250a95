use tracing::level_filters::LevelFilter;

use super::*;
use crate::control::protocol::{LogLevels, LogSource};
use crate::log::Part;

fn set(target: &str, level: &str) -> Request {
    Request::LogSet { target: target.into(), level: level.into() }
}

fn shown(lab: &mut Lab) -> LogLevels {
    let Reply::Log(levels) = lab.ask(Request::LogShow) else { panic!() };
    levels
}

fn level(lab: &mut Lab, target: &str) -> (String, LogSource) {
    let found = shown(lab).entries.into_iter().find(|entry| entry.target == target).unwrap();
    (found.level, found.source)
}

#[test]
fn what_is_set_is_in_effect_and_shown_until_it_is_taken_back() {
    let mut lab = Lab::new(BASIC);
    assert!(lab.done(set("gossip", "debug")).contains("weft log set gossip=default"));
    assert_eq!(lab.control.log_levels().of(Part::Gossip), LevelFilter::DEBUG);
    assert_eq!(level(&mut lab, "gossip"), ("debug".into(), LogSource::Command));
    assert_eq!(level(&mut lab, "path"), ("info".into(), LogSource::Configuration));
    lab.done(set("all", "error"));
    assert_eq!(level(&mut lab, "gossip"), ("error".into(), LogSource::Command));
    lab.done(set("all", "default"));
    assert!(shown(&mut lab).entries.iter().all(|entry| entry.source == LogSource::Configuration));
    assert_eq!(lab.published(), 1, "workers have nothing to do with it");
}

#[test]
fn a_reload_changes_what_is_written_and_keeps_what_was_set() {
    let mut lab = Lab::new(BASIC);
    lab.done(set("gossip", "debug"));
    lab.reload(&format!("{BASIC}[log]\nlevel = \"warn,api=trace\"")).unwrap();
    assert_eq!(level(&mut lab, "gossip"), ("debug".into(), LogSource::Command));
    assert_eq!(level(&mut lab, "api"), ("trace".into(), LogSource::Configuration));
    assert_eq!(level(&mut lab, "path").0, "warn");
    assert_eq!(shown(&mut lab).level, "warn,api=trace");
    let mut lab = lab.moved("10.0.0.2");
    assert_eq!(level(&mut lab, "gossip").0, "debug", "also when the address changes");
}

#[test]
fn an_unknown_target_or_level_is_refused_with_what_there_is() {
    let mut lab = Lab::new(BASIC);
    let error = lab.refused(set("gosip", "debug"));
    assert_eq!(error.code, ErrorCode::Usage);
    assert!(error.message.contains("there is all, api, ") && error.message.ends_with("did you mean gossip?"));
    let error = lab.refused(set("gossip", "loud"));
    assert!(
        error.message.contains("no log level loud") && error.message.contains("default"),
        "{}",
        error.message
    );
    assert_eq!(level(&mut lab, "gossip").1, LogSource::Configuration);
}
