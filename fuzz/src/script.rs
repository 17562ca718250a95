//! A sequence of messages as octets: `head 1 | wait 1 | length 2 | message`, and so on until the octets end.

use std::time::Duration;

/// Steps that are taken at most, so that no octets take long.
const MAX_STEPS: usize = 64;
/// What one `wait` counts.
const TICK: Duration = Duration::from_millis(20);

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Which of two sent it.
    pub sender: usize,
    /// What kind it is of, 0 to 127: what that means is the target's.
    pub kind: u8,
    /// Time that passes before it.
    pub wait: Duration,
    /// What it says.
    pub message: &'a [u8],
}

impl Step<'_> {
    /// Appends the step to a script.
    ///
    /// # Panics
    ///
    /// When the message has more than 65,535 octets.
    pub fn write(&self, script: &mut Vec<u8>) {
        let length = u16::try_from(self.message.len()).expect("a short message");
        let ticks = self.wait.as_millis() / TICK.as_millis();
        script.push(self.kind << 1 | u8::from(self.sender == 1));
        script.push(u8::try_from(ticks).unwrap_or(u8::MAX));
        script.extend(length.to_be_bytes());
        script.extend(self.message);
    }
}

/// Reads a script; a last message that is cut is as long as what is there.
pub fn steps(mut octets: &[u8]) -> impl Iterator<Item = Step<'_>> {
    let next = move || {
        let ([head, wait, high, low], rest) = octets.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (message, rest) = rest.split_at(length);
        octets = rest;
        Some(Step { sender: usize::from(head & 1), kind: head >> 1, wait: TICK * u32::from(*wait), message })
    };
    std::iter::from_fn(next).take(MAX_STEPS)
}
