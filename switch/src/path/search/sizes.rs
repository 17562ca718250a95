//! Which sizes are worth a probe.

/// A search ends when what passes and what does not are so close.
pub(super) const CLOSE: u16 = 4;

/// MTUs that links and tunnels have.
pub(super) const USUAL: [u16; 33] = [
    576, 620, 704, 800, 900, 1006, 1100, 1200, 1240, 1280, 1300, 1340, 1360, 1380, 1400, 1420, 1440, 1450,
    1454, 1462, 1472, 1480, 1492, 1500, 1600, 2000, 3000, 4352, 6000, 8000, 8900, 8951, 9000,
];

/// What to try between a size that passes and one that does not: the middle of the usual ones, then the middle. `None` = they
/// are close.
pub(super) fn between(passes: u16, fails: u16) -> Option<u16> {
    let gap = fails.saturating_sub(passes);
    if gap <= CLOSE {
        return None;
    }
    let usual = USUAL.iter().filter(|size| **size > passes && **size < fails);
    let middle = usual.clone().count() / 2;
    Some(usual.copied().nth(middle).unwrap_or(passes + gap / 2))
}

/// The next usual size that is clearly larger.
pub(super) fn usual_above(size: u16) -> Option<u16> {
    USUAL.iter().copied().find(|usual| *usual > size.saturating_add(CLOSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_is_closed_in_a_dozen_steps_whatever_passes() {
        for (low, high) in [(576, 1280), (1280, 1500), (1280, 9000), (9000, u16::MAX)] {
            for takes in (low..high).step_by(7) {
                let (mut passes, mut fails, mut steps) = (low, high, 0);
                while let Some(size) = between(passes, fails) {
                    assert!(size > passes && size < fails);
                    (passes, fails) = if size <= takes { (size, fails) } else { (passes, size) };
                    steps += 1;
                }
                assert!(passes <= takes && fails > takes && steps <= 16, "{low}..{high}, {takes}: {steps}");
            }
        }
    }

    #[test]
    fn usual_sizes_are_in_order_and_hold_those_of_common_tunnels() {
        assert!(USUAL.is_sorted());
        assert!([1280, 1420, 1450, 1492, 1500, 9000].iter().all(|size| USUAL.contains(size)));
        assert_eq!((usual_above(1296), usual_above(1280), usual_above(9000)), (Some(1340), Some(1300), None));
    }
}
