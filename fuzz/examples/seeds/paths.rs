//! What nodes really say about the paths between them, opened: three nodes, two of which lose each other.

use std::time::Duration;

use encap::Format;
use fdb::gossip::seal::{Gate, Opened};
use fdb::sim::Dice;
use weft::path::{Arrival, Config, Engine, Moment, Output};
use weft_fuzz::cast::{OTHERS, OWN, address, mode, process, start};
use weft_fuzz::path::{ANSWER, GENEVE, link, target};

use super::Seed;
use super::gossip::{Said, scripts};

const TICK: Duration = Duration::from_millis(20);

pub(super) fn all() -> Vec<Seed> {
    let (idle, cut) = (said(false), said(true));
    let before = cut.partition_point(|said| said.at < CUT_AT);
    [
        scripts("path", "idle", 0, &idle[..idle.len().min(40)]),
        scripts("path", "answers", ANSWER, &idle),
        scripts("path", "geneve", ANSWER | GENEVE, &idle[..idle.len().min(20)]),
        scripts("path", "relay", ANSWER, &cut[before..]),
    ]
    .concat()
}

/// When the two lose each other.
const CUT_AT: Duration = Duration::from_secs(2);

/// What the first node is told in ten seconds in which frames go between all; perhaps it loses the second in them.
fn said(is_cut: bool) -> Vec<Said> {
    let begin = start();
    let cast = [OWN, OTHERS[0], OTHERS[1]];
    let targets = cast.map(|n| target(n, Format::Vxlan, link()));
    let mut nodes = cast.map(|n| Engine::new(process(n), mode(false), Config::default(), begin));
    nodes.iter_mut().for_each(|node| assert_eq!(node.set_targets(&targets, begin), 0));
    let mut ear = Gate::for_paths(process(OWN), mode(false));
    OTHERS.iter().for_each(|n| drop(ear.trust(process(*n)).expect("there is room")));
    let mut dice = Dice::new(4);
    let (mut said, mut now) = (Vec::new(), begin);
    while now - begin < Duration::from_secs(10) {
        let moment = Moment { at: now, unix_ms: 1_000_000 };
        for node in &mut nodes {
            cast.iter().for_each(|n| node.note_traffic(process(*n).node, now));
            node.handle_timeout(moment, &mut dice);
        }
        while let Some((from, output)) = (0..3).find_map(|n| Some((n, nodes[n].poll_output()?))) {
            let Output::Send { to, format, sealed, size, .. } = output else { continue };
            let Some(at) = (0..3).find(|n| targets[*n].vtep(format) == to) else { continue };
            if is_cut && now - begin >= CUT_AT && from + at == 1 {
                continue;
            }
            let from_address = address(cast[from]);
            let arrival = Arrival { from: from_address, format, sealed: &sealed, size, at: now };
            let _ = nodes[at].handle_datagram(arrival, moment, &mut dice);
            if at == 0
                && let Ok(Opened::Message(message)) = ear.open(&sealed, from_address, now, &mut dice)
            {
                said.push(Said { sender: from - 1, at: now - begin, message: message.payload });
            }
        }
        now += TICK;
    }
    said
}
