use clap::Parser;

use super::super::{Cli, Command};
use super::*;

fn parse(line: &str) -> (Global, CaptureArgs) {
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
    let Command::Capture(args) = cli.command else { panic!("{line}") };
    (cli.global, args)
}

#[test]
fn points_are_named_as_in_the_files() {
    assert_eq!(point("any"), Ok(CaptureAt::Any));
    assert_eq!(point("port:web"), Ok(CaptureAt::Port("web".to_owned())));
    assert_eq!(point("peer:fd00::2"), Ok(CaptureAt::Peer("fd00::2".to_owned())));
    for wrong in ["", "web", "port:", "peer", "pod:web"] {
        assert!(point(wrong).unwrap_err().contains("port:NAME"), "{wrong}");
    }
}

#[test]
fn no_snap_length_is_all() {
    assert_eq!([snap("0"), snap("128")], [Ok(SnapLen::MAX), SnapLen::new(128).map_err(|e| e.to_string())]);
    assert!(snap("262145").is_err() && snap("all").is_err());
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for (line, terminal, part) in [
        ("weft capture -w -", true, "standard output is a terminal"),
        ("weft -j capture -w a", false, "exclude each other"),
        ("weft capture -w - -C 1", false, "name a file"),
        ("weft capture -w a -W 3", false, "-C or -G"),
    ] {
        let (global, args) = parse(line);
        let refusal = misuse(&global, &args, terminal).expect_err(line);
        assert!(refusal.contains(part), "{line}: {refusal}");
    }
    for (line, terminal) in
        [("weft capture", true), ("weft capture -w -", false), ("weft capture -w a -G 5 -W 3", true)]
    {
        let (global, args) = parse(line);
        assert_eq!(misuse(&global, &args, terminal), Ok(()), "{line}");
    }
}

#[test]
fn a_megabyte_is_a_million_octets_as_with_tcpdump() {
    let (_, args) = parse("weft capture -w a -C 3");
    assert_eq!(plan(&args, Path::new("a")).size, Some(3_000_000));
}

#[test]
fn the_last_line_accounts_for_all_frames() {
    let counts = Counts { captured: 1, lost: 2, unwritten: 0, beyond: 0 };
    assert_eq!(summary(counts), "1 frame captured, 2 lost because nobody took them in time");
    let told = summary(Counts { captured: 3, unwritten: 4, beyond: 5, ..counts });
    let expected = "3 frames captured, 6 lost because nobody took them in time, or they could not be written; \
                    5 more passed before it ended";
    assert_eq!(told, expected);
}

#[test]
fn a_full_disk_is_told_with_what_helps() {
    let text = cannot_write(Path::new("/x/a"), &io::ErrorKind::StorageFull.into());
    assert!(text.starts_with("cannot write to /x/a: ") && text.contains("make room"), "{text}");
}
