//! Membership: packets and rosters in any order.

use std::time::Instant;

use fdb::gossip::members::{Config, Members, Output, Refused};

use super::cast::{OTHERS, OWN, WITNESS, address, member, process, start};
use super::script;

/// A kind of step: what comes over a stream. All others are datagrams.
pub const ROSTER: u8 = 1;

/// So many things due at most while one step waits: more would be an end that does not come.
const MAX_WAKES: usize = 20_000;

/// Octets: a [`script`] of packets and rosters.
pub fn members(octets: &[u8]) {
    let mut now = start();
    let mut own = Members::new(Config::default(), member(OWN), now, 1);
    let mut witness = Members::new(Config::default(), member(WITNESS), now, 2);
    for step in script::steps(octets) {
        pass(&mut own, &mut witness, &mut now, step.wait);
        let sender = OTHERS[step.sender];
        let _ = match step.kind {
            ROSTER => own.apply_roster(process(sender), step.message, now),
            _ => own.handle_packet(address(sender), process(sender), step.message, now),
        };
        say(&mut own, &mut witness, now);
    }
    let told = witness.apply_roster(own.own().process(), &own.roster(), now);
    assert!(!matches!(told, Err(Refused::Malformed(_))), "a roster reads as it was written: {told:?}");
    own.leave(now);
    say(&mut own, &mut witness, now);
    assert_eq!(own.poll_timeout(), None);
}

/// Lets time pass, and does what is due.
fn pass(own: &mut Members, witness: &mut Members, now: &mut Instant, wait: std::time::Duration) {
    let until = *now + wait;
    for _ in 0..MAX_WAKES {
        let Some(due) = own.poll_timeout().filter(|due| *due <= until) else {
            *now = until;
            return;
        };
        *now = due.max(*now);
        own.handle_timeout(*now);
        say(own, witness, *now);
    }
    panic!("it never sleeps");
}

/// What is sent can be read.
fn say(own: &mut Members, witness: &mut Members, now: Instant) {
    while let Some(output) = own.poll_output() {
        let Output::Send { bytes, .. } = output else { continue };
        let heard = witness.handle_packet(address(OWN), own.own().process(), &bytes, now);
        assert!(!matches!(heard, Err(Refused::Malformed(_))), "{heard:?}: {bytes:02x?}");
        while witness.poll_output().is_some() {}
    }
}
