//! Every section and key there is, and what to say of one that is none.

use std::fmt;

/// A section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// Whether there may be several: `[[name]]` instead of `[name]`.
    pub repeats: bool,
    /// Its keys.
    pub keys: &'static [&'static str],
}

/// Every section with its keys, in the order in which people write them.
pub const KEYS: &[Section] = &[
    one("node", &["name", "state_dir", "socket", "keep_ports"]),
    one(
        "underlay",
        &["address", "interface", "advertise", "mtu", "vxlan_port", "geneve_port", "source_ports"],
    ),
    one("encap", &["format", "vxlan_reserved", "dscp"]),
    one("datapath", &["workers", "poll", "tso", "uso", "udp_segment", "udp_gro"]),
    one("gossip", &["listen", "join", "key_file", "insecure"]),
    one("path", &["discovery", "min", "clamp_mss", "relay", "raise"]),
    many("network", &["name", "vni", "unknown_unicast", "mac_age", "vlan", "max_macs", "mtu"]),
    many(
        "port",
        &[
            "name",
            "network",
            "ifname",
            "netns",
            "mac",
            "addresses",
            "gateway",
            "bum_pps",
            "multicast_pps",
            "guard",
        ],
    ),
    many("peer", &["address", "format", "networks", "port", "share"]),
    one("log", &["level", "format"]),
];

/// Sections that a later version will know.
const LATER: &[&str] = &["api"];

const fn one(name: &'static str, keys: &'static [&'static str]) -> Section {
    Section { name, repeats: false, keys }
}

const fn many(name: &'static str, keys: &'static [&'static str]) -> Section {
    Section { name, repeats: true, keys }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        if self.repeats { write!(f, "[[{name}]]") } else { write!(f, "[{name}]") }
    }
}

/// The section of this name.
pub(super) fn section(name: &str) -> Option<&'static Section> {
    KEYS.iter().find(|section| section.name == name)
}

/// What to say of a key that a section has not.
pub(super) fn unknown_key(section: &Section, key: &str) -> String {
    let hint = match nearest(key, section.keys.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match KEYS.iter().find(|other| other.keys.contains(&key)) {
            Some(other) => format!("it belongs in {other}"),
            None => format!("its keys are {}", list(section.keys)),
        },
    };
    format!("unknown key `{key}` in {section}; {hint}")
}

/// What to say of a section, or of a key before the first section, that the file has not.
pub(super) fn unknown_section(name: &str, is_section: bool) -> String {
    if LATER.contains(&name) {
        return format!("section `{name}` is not supported by this version of weft; remove it");
    }
    if !is_section && let Some(home) = KEYS.iter().find(|section| section.keys.contains(&name)) {
        return format!("`{name}` stands in no section; put it under {home}");
    }
    let what = if is_section { "section" } else { "key" };
    let hint = match nearest(name, KEYS.iter().map(|section| section.name)).and_then(section) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let all: Vec<_> = KEYS.iter().map(ToString::to_string).collect();
            format!("the sections are {}", all.join(", "))
        }
    };
    format!("unknown {what} `{name}`; {hint}")
}

/// The one of `known` that `word` may be a slip for.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let near = known.map(|k| (strsim::osa_distance(word, k), k)).min_by_key(|(distance, _)| *distance);
    // Up to a third of the letters wrong is a slip; more is another word.
    near.filter(|(distance, k)| distance * 3 <= k.len().max(word.len())).map(|(_, k)| k)
}

/// `` `a`, `b`, `c` ``.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
