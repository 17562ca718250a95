use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};

use super::disguise::Disguise;
use super::hide::Hider;
use super::report::Report;

/// A key of gossip as a file has it.
const KEY: &str = "07a1b2c3d4e5f60718293a4b5c6d7e8f07a1b2c3d4e5f60718293a4b5c6d7e8f";

fn hidden(text: &str) -> String {
    Hider::default().config(text).0
}

fn disguised(text: &str) -> String {
    Disguise::new([7; 32]).text(text)
}

/// The files of an archive.
fn unpacked(archive: &[u8]) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let read = |entry: Result<tar::Entry<'_, _>, _>| {
        let mut entry: tar::Entry<'_, flate2::read::GzDecoder<&[u8]>> = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        assert_eq!(entry.header().mode().unwrap(), 0o600, "{name}");
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name.strip_prefix("weft-bugreport/").unwrap().to_owned(), text)
    };
    tar.entries().unwrap().map(read).collect()
}

#[test]
fn what_sounds_like_a_secret_goes_and_paths_and_lines_stay() {
    let text = "[gossip]\nkey_file = \"/etc/weft/gossip.key\"  # it was abc123\nkey = \"hunter2\"\n\
                [api]\ntoken_file = \"not-a-path\"\nhttp = \"10.0.0.1:6787\"\npasswords = [\n  \"one\",\n  \"two=\",\n]\n\
                [[port]]\nname = \"web#1\"\nx = { token = \"three\", n = 1 }\ny = \"A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6\"\n\
                netns = \"/run/netns/cni-A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p7\"\n";
    let clean = hidden(text);
    for secret in ["abc123", "hunter2", "not-a-path", "one", "two", "three", "\"A1b2"] {
        assert!(!clean.contains(secret), "{secret} is in\n{clean}");
    }
    for kept in [
        "\"/etc/weft/gossip.key\"",
        "10.0.0.1:6787",
        "\"web#1\"",
        "n = 1",
        "/run/netns/cni-A1b2",
        "key = \"<removed-1>\"",
    ] {
        assert!(clean.contains(kept), "{kept} is not in\n{clean}");
    }
    assert_eq!(clean.lines().count(), text.lines().count());
}

#[test]
fn a_key_goes_wherever_it_stands_and_equal_ones_are_seen_to_be() {
    let mut hider = Hider::default();
    let other = KEY.replace('0', "f");
    let (clean, count) = hider.text(&format!("a {KEY}, {}; {other}\n'{KEY}'", KEY.to_ascii_uppercase()));
    assert_eq!((clean.as_str(), count), ("a <removed-1>, <removed-2>; <removed-3>\n'<removed-1>'", 4));
    let (clean, _) = hider.text("Authorization: Bearer s3cr3t-token, next");
    assert_eq!(clean, "Authorization: Bearer <removed-4>, next");
    assert!(!hidden(&format!("join = [\"{KEY}\"]\nkey_file = \"/etc/{KEY}\"")).contains(KEY));
    let text = "nothing of 64 letters like zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
    assert_eq!(hider.text(text), (text.to_owned(), 0));
}

#[test]
fn what_a_configuration_had_goes_from_all_that_comes_after_it_also_where_it_was_cut_short() {
    let token = "q+8Zr0/Jm3VtX5kW2nB7yLcD4sEaH6uPf9GiTo1RwKM=";
    let long = format!("{token}{token}");
    let mut hider = Hider::default();
    let text = format!(
        "[api]\ntoken_file = \"{token}\"\nkey = '{long}'\npasswords = [\n \"first-pass\",\n \"second-pass\",\n]\npsk = 1\n"
    );
    hider.config(&text);
    let (clean, count) =
        hider.text(&format!("a \"{token}\" b {long} c {}… d first-pass second-pass 1", &long[..58]));
    assert_eq!(count, 5, "{clean}");
    for part in [token, &token[..20], "first-pass", "second-pass"] {
        assert!(!clean.contains(part), "{part} is in {clean}");
    }
    assert!(
        clean.starts_with("a \"<removed-1>\" b <removed-2> c <removed-2>… d ") && clean.ends_with(" 1"),
        "{clean}"
    );
    let (clean, _) = hider.text(&format!("Authorization: Bearer {token}"));
    assert_eq!(clean, "Authorization: Bearer <removed-1>");
    // A message of a daemon of before quoted the key itself.
    let (clean, _) =
        hider.text(&format!("`key_file` is \"{}…; node 0123456789abcdef0123456789abcdef", &KEY[..58]));
    assert!(
        !clean.contains(&KEY[..20]) && clean.ends_with("node 0123456789abcdef0123456789abcdef"),
        "{clean}"
    );
}

#[test]
fn a_token_that_begins_as_a_path_does_is_none() {
    let tokens =
        ["/+8Zr0/Jm3VtX5kW2nB7yLcD4sEaH6uPf9GiTo1RwKM=", "/q8Zr0Jm3VtX5kW2nB7yLc/4sEaH6uPf9GiTo1RwKM="];
    for token in tokens {
        assert_eq!(hidden(&format!("token_file = \"{token}\"")), "token_file = \"<removed-1>\"\n");
        assert!(!hidden(&format!("api = {{ token_file = \"{token}\" }}")).contains(token));
    }
    let path = "key_file = \"/etc/kubernetes/Weft/clusters/site-2/nodes/gossip.key\"\n";
    assert_eq!(hidden(path), path);
}

#[test]
fn addresses_are_replaced_by_the_same_ones_and_networks_stay_apart() {
    let clean = disguised("a 10.32.0.5/12 dev b, 10.32.0.6:4789 10.32.0.5 192.168.0.1 02:00:00:00:00:0a");
    let words: Vec<_> = clean.split([' ', '/', ':', ',']).collect();
    let ip = |at: usize| words[at].parse::<Ipv4Addr>().unwrap();
    assert_eq!((words[0], words[2], words[3], words[7]), ("a", "12", "dev", "4789"));
    let (one, next, again, far) = (ip(1), ip(6), ip(8), ip(9));
    assert_eq!(one, again);
    assert_eq!((one.to_bits() ^ next.to_bits()).leading_zeros(), 30, "they differ from the 31st bit on");
    assert_eq!((one.to_bits() ^ far.to_bits()).leading_zeros(), 0);
    for original in ["10.32.0.5", "10.32.0.6", "192.168.0.1", "02:00:00:00:00:0a"] {
        assert!(!clean.contains(original), "{clean}");
    }
    assert_ne!(
        clean,
        Disguise::new([8; 32])
            .text("a 10.32.0.5/12 dev b, 10.32.0.6:4789 10.32.0.5 192.168.0.1 02:00:00:00:00:0a")
    );
}

#[test]
fn an_address_is_found_wherever_it_stands() {
    for text in [
        "peer:10.32.0.5",
        "x[10.32.0.5]",
        "10.32.0.5.4789 > 10.32.0.5.53:",
        "\"10.32.0.5\"",
        "10.32.0.5.",
        "port=10.32.0.5;",
        "[fd32::5:1]:6786",
        "peer:fd32::5:1,",
        "fe80::5:1%eth0",
        "fd32::5:1/64",
        "::ffff:10.32.0.5",
        "mac=aa:bb:cc:00:00:01,",
        "(AA:BB:CC:00:00:01)",
    ] {
        let clean = disguised(text).to_ascii_lowercase();
        for original in ["32.0.5", "::5:1", "bb:cc"] {
            assert!(!clean.contains(original), "{text} became {clean}");
        }
    }
}

#[test]
fn what_is_no_address_or_nobodys_stays() {
    for text in [
        "2026-11-22T07:51:43.123Z weft::control 1.95.0 127.0.0.1 ::1 0.0.0.0 :: 255.255.255.255 224.0.0.251 ff02::1",
        "ff:ff:ff:ff:ff:ff 00:00:00:00:00:00 feed beef:cafe a.b.c.d 300.1.1.1 12:34 fd32 v6.12.0",
        "größe: \u{2026}",
        "",
    ] {
        assert_eq!(disguised(text), text);
    }
}

#[test]
fn no_two_addresses_become_one() {
    let all = (0..2000_u32).map(|n| Ipv4Addr::from_bits(0x0a20_0000 + n * 37));
    let text: String = all.map(|ip| format!("{ip} ")).collect();
    let clean = disguised(&text);
    let mut found: Vec<IpAddr> = clean.split_whitespace().map(|word| word.parse().unwrap()).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 2000);
}

#[test]
fn an_archive_has_what_was_added_a_manifest_and_no_secret() {
    let report = |disguise| {
        let mut report = Report::new(disguise);
        report.add(
            "daemon/status.json",
            "asked the daemon",
            &format!("{{\"at\":\"10.0.0.7\",\"x\":\"{KEY}\"}}"),
        );
        report.add_config(
            "config/weft.toml",
            "read from /etc/weft/weft.toml",
            "token = \"canary\" # 10.0.0.7\n",
        );
        report.lacks("log/journal.txt", format!("journalctl: no {KEY}, no 10.0.0.7"));
        report
    };
    assert_eq!(report(None).counts(), (3, 1));
    let archive = report(None).archive("2026-11-22T07:51:43Z", 1).unwrap();
    assert_eq!(archive, report(None).archive("2026-11-22T07:51:43Z", 1).unwrap(), "the same again");
    let files = unpacked(&archive);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["MANIFEST", "config/weft.toml", "daemon/status.json"]);
    assert_eq!(files["daemon/status.json"], "{\"at\":\"10.0.0.7\",\"x\":\"<removed-1>\"}");
    assert_eq!(files["config/weft.toml"], "token = \"<removed-2>\"\n");
    let manifest = &files["MANIFEST"];
    for part in [
        "daemon/status.json\n  asked the daemon; 1 removed as secret",
        "comments removed",
        "NOT HERE\nlog/journal.txt",
    ] {
        assert!(manifest.contains(part), "{part} is not in\n{manifest}");
    }
    assert!(files.values().all(|text| !text.contains(KEY) && !text.contains("canary")));

    let files = unpacked(&report(Some(Disguise::new([7; 32]))).archive("2026-11-22T07:51:43Z", 1).unwrap());
    assert!(files.values().all(|text| !text.contains("10.0.0.7")), "{files:?}");
    assert!(files["MANIFEST"].contains("Addresses are replaced"));
}

#[test]
fn of_a_file_that_is_too_large_the_end_is_kept() {
    let mut report = Report::new(None);
    report.add("log/journal.txt", "printed", &("ü".repeat(5 << 20) + "the last line"));
    let files = unpacked(&report.archive("now", 1).unwrap());
    let log = &files["log/journal.txt"];
    assert!(log.len() <= 8 << 20 && log.ends_with("the last line"), "{}", log.len());
    assert!(files["MANIFEST"].contains("octets left out"));
}
