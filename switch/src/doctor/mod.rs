//! What is wrong with this node and its peers, why that matters, and what mends it.
//!
//! ```text
//!   host, daemon ── Facts ──> Report: findings, the worst first; and the checks that were made
//! ```
//!
//! Rules are functions of [`Facts`], nothing else: who gathers these is elsewhere. A finding's `code` is for scripts and
//! stays what it is; everything else is for people.

mod counts;
mod facts;
mod finding;
mod host;
mod nodes;
mod paths;
mod sizes;
mod start;
#[cfg(test)]
mod tests;

pub use self::facts::{
    Buffer, CellFacts, Count, DaemonFacts, Facts, FallbackFacts, HeldPort, HostFacts, HostQuestions,
    HostRoute, NetworkFacts, PeerFacts, PodNet, PortFacts, StartFacts, Trouble, UnderlayLink, Way,
};
pub use self::finding::{Check, Finding, Fix, FixError, Report, Severity};
pub use self::host::overlap;

/// A group of rules, and what it says when none of them found anything.
struct Group {
    name: &'static str,
    fine: &'static str,
    /// `None` = what it looks at is not known here.
    rules: fn(&Facts) -> Option<Vec<Finding>>,
}

const GROUPS: &[Group] = &[
    Group { name: "start", fine: "nothing keeps the daemon from starting", rules: start::check },
    Group {
        name: "nodes",
        fine: "all nodes are heard, and have the same key and version",
        rules: nodes::check,
    },
    Group { name: "paths", fine: "every node answers on both UDP ports", rules: paths::check },
    Group { name: "sizes", fine: "what pods may send fits the links and the paths", rules: sizes::check },
    Group {
        name: "host",
        fine: "routes, filters, buffers and offloads are in nobody's way",
        rules: host::check,
    },
    Group { name: "counts", fine: "nothing is being lost or refused", rules: counts::check },
];

/// Looks at everything that was gathered.
///
/// # Examples
///
/// ```
/// use weft::doctor::{Buffer, Facts, HostFacts, diagnose};
///
/// let host = HostFacts { buffer: Some(Buffer { got: 425_984, wanted: 16 << 20 }), ..HostFacts::default() };
/// let report = diagnose(&Facts { host, ..Facts::default() });
/// assert_eq!(report.findings[0].code, "receive_buffer");
/// assert_eq!(report.findings[0].fixes[0].to_string(), "sysctl -w net.core.rmem_max=8388608");
///
/// assert!(diagnose(&Facts::default()).findings.is_empty());
/// ```
#[must_use]
pub fn diagnose(facts: &Facts) -> Report {
    let mut report = Report::default();
    for group in GROUPS {
        let Some(found) = (group.rules)(facts) else { continue };
        let check = Check { name: group.name.to_owned(), fine: group.fine.to_owned(), findings: found.len() };
        report.checks.push(check);
        report.findings.extend(found);
    }
    report.findings.sort_by_key(|finding| finding.severity);
    report
}

/// At most this many names stand in one message.
const LISTED: usize = 10;

/// Names, as many as a message takes.
fn names<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<_> = all.into_iter().collect();
    let more = all.len().saturating_sub(LISTED);
    let listed = all[..all.len() - more].join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
