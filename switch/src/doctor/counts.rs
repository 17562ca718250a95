//! Counters that say what is wrong.

use super::{Count, Facts, Finding, Severity};

/// A counter, and what it means when it grows.
struct Rule {
    counter: &'static str,
    code: &'static str,
    severity: Severity,
    what: &'static str,
    why: &'static str,
    mend: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        counter: "unknown_key",
        code: "key_mismatch",
        severity: Severity::Error,
        what: "datagrams of gossip came that were sealed with a key this node does not have",
        why: "a node with another key file neither hears this one nor is heard, so that their pods do not meet",
        mend: "compare `weft key list` of all nodes, and give those that differ the same [gossip] key_file; a log at level \
               debug names the sender",
    },
    Rule {
        counter: "insecure",
        code: "key_mismatch",
        severity: Severity::Error,
        what: "datagrams of gossip came without a seal, and this node has a key",
        why: "a node without a key neither hears this one nor is heard, so that their pods do not meet",
        mend: "give that node the key file of the others in [gossip] key_file instead of insecure = true",
    },
    Rule {
        counter: "sealed",
        code: "key_mismatch",
        severity: Severity::Error,
        what: "sealed datagrams of gossip came, and this node has no key",
        why: "a node with a key neither hears this one nor is heard, so that their pods do not meet",
        mend: "give this node the key file of the others in [gossip] key_file instead of insecure = true",
    },
    Rule {
        counter: "inner_checksum",
        code: "inner_checksum",
        severity: Severity::Warning,
        what: "frames came with a wrong checksum inside",
        why: "pods drop them, so that TCP does not connect though pings pass: a kernel VXLAN or Open vSwitch peer left the \
              checksum to a NIC that does not compute it, or something on the way changes packets",
        mend: "on that peer, `ethtool -K DEVICE tx off` for its underlay device",
    },
    Rule {
        counter: "udp_checksum",
        code: "udp_checksum",
        severity: Severity::Warning,
        what: "datagrams came to this host with a wrong UDP checksum, and the kernel dropped them",
        why: "if peers sent them, frames are lost before weft sees them; a NIC or its driver that computes checksums wrongly \
              does this to all",
        mend: "on the sending host, `ethtool -K DEVICE tx-udp-segmentation off`, then `tx off`; what ends it is the broken \
               offload. `tcpdump -vv` here shows who sends them",
    },
    Rule {
        counter: "udp_overflow",
        code: "receive_overflow",
        severity: Severity::Warning,
        what: "datagrams found the receive sockets full",
        why: "frames are lost before weft sees them",
        mend: "give weft more CPU: more [datapath] workers, or fewer neighbours on the host; larger buffers help against \
               bursts only",
    },
    Rule {
        counter: "unknown_peer",
        code: "unknown_peer",
        severity: Severity::Warning,
        what: "datagrams came from addresses that are no peer's, and were dropped",
        why: "if a node of yours sends them, its pods are not heard here",
        mend: "see who it is: `tcpdump -ni DEVICE udp port 4789 or udp port 6081`. Let it join ([gossip] join), add a [[peer]], \
               or behind NAT set its [underlay] advertise; else filter it",
    },
    Rule {
        counter: "unknown_vni",
        code: "unknown_vni",
        severity: Severity::Warning,
        what: "datagrams came for a VNI that this node does not have, or that their sender is not to use",
        why: "pods that ought to be on one network are not",
        mend: "compare vni and networks of the nodes: `weft network list` and `weft peer list` on each",
    },
];

pub(super) fn check(facts: &Facts) -> Option<Vec<Finding>> {
    let daemon = facts.daemon.as_ref()?;
    let count = |rule: &Rule| match rule.counter {
        "udp_checksum" => facts.host.checksum_errors,
        name => daemon.counts.get(name).copied().unwrap_or_default(),
    };
    Some(RULES.iter().filter_map(|rule| finding(rule, count(rule))).collect())
}

/// While nodes come and go, so many are nothing.
const FEW: u64 = 10;

/// What happened long ago is only worth a note.
fn finding(rule: &Rule, count: Count) -> Option<Finding> {
    let Count { total, lately } = count;
    let when = match (lately, total) {
        (0, ..FEW) => return None,
        // The kernel counts those of the whole host.
        (0, total) if rule.counter == "udp_checksum" => {
            format!("{total} since the host started, none just now")
        }
        (0, total) => format!("{total} since the start, none just now"),
        (lately, _) => format!("{lately} in the last 2 s"),
    };
    Some(Finding {
        severity: if lately > 0 { rule.severity } else { Severity::Note },
        code: rule.code.to_owned(),
        subject: "node".to_owned(),
        what: format!("{} ({when})", rule.what),
        why: rule.why.to_owned(),
        mend: rule.mend.to_owned(),
        fixes: Vec::new(),
    })
}
