//! What keeps the daemon from starting, where none runs.

use super::{Facts, Finding, HeldPort, Severity, StartFacts, Trouble};

pub(super) fn check(facts: &Facts) -> Option<Vec<Finding>> {
    let start = facts.start.as_ref()?;
    let mut found = vec![no_daemon(start)];
    found.extend(start.config.as_ref().map(|why| {
        refused(
            "config",
            "configuration",
            why,
            "correct the file; `weft config check FILE` names each mistake",
        )
    }));
    found.extend(start.no_address.as_ref().map(|why| {
        refused(
            "underlay_address",
            "node",
            why,
            "set [underlay] address to an address of this host; `ip address` shows them",
        )
    }));
    found.extend(start.missing.iter().map(|ip| {
        let what = format!("this host does not have the underlay address {ip}");
        let mend =
            "correct [underlay] address, or give the address to a device; `ip address` shows what there is";
        refused("underlay_address", "node", &what, mend)
    }));
    found.extend(start.held.iter().map(port_owner));
    found.extend(start.key_file.as_ref().map(|why| {
        refused(
            "key_file",
            "gossip",
            why,
            "correct [gossip] key_file, or the file: owner root, mode 0600, 1 to 4 keys",
        )
    }));
    found.extend(start.state_dir.as_ref().map(|why| {
        refused(
            "state_dir",
            "node",
            why,
            "let the user that runs weft write there, or name another [node] state_dir",
        )
    }));
    let insecure = Trouble {
        code: "insecure_gossip",
        subject: "gossip".to_owned(),
        what: "gossip is to go without keys ([gossip] insecure = true)".to_owned(),
    };
    found.extend(super::nodes::trouble(&insecure).filter(|_| start.insecure));
    Some(found)
}

fn no_daemon(start: &StartFacts) -> Finding {
    Finding {
        severity: Severity::Error,
        code: "no_daemon".to_owned(),
        subject: "node".to_owned(),
        what: format!("no daemon answers on {}", start.socket),
        why: "without it no pod of this host has a network; only what needs no daemon was looked at".to_owned(),
        mend: "mend what is named here, if anything, and start it: `weft run` or `systemctl start weft`; one on another \
               socket is asked with --socket"
            .to_owned(),
        fixes: Vec::new(),
    }
}

fn port_owner(held: &HeldPort) -> Finding {
    let HeldPort { address, key, owner, remedy } = held;
    let what = format!("UDP {address} is in use by {owner}");
    let mend = format!("{remedy}, or choose another {key} on all nodes");
    refused("port_owner", &format!("UDP {}", address.port()), &what, &mend)
}

/// Something that the daemon refuses to start with.
fn refused(code: &str, subject: &str, what: &str, mend: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        code: code.to_owned(),
        subject: subject.to_owned(),
        what: what.to_owned(),
        why: "the daemon does not start with it".to_owned(),
        mend: mend.to_owned(),
        fixes: Vec::new(),
    }
}
