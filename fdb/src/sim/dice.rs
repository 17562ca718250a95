//! Chance that comes out the same for the same seed.

use std::convert::Infallible;

use rand_core::{Rng as _, TryCryptoRng, TryRng};

/// SplitMix64: small, and the same everywhere. For simulations only: anybody can foretell it.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice whose throws `seed` decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n.max(1)
    }

    /// True in `percent` of 100 cases.
    #[allow(clippy::cast_precision_loss)] // 53 bits of chance are enough
    pub fn percent(&mut self, percent: f64) -> bool {
        ((self.next_u64() >> 11) as f64) * 100.0 < percent * (1_u64 << 53) as f64
    }
}

impl TryRng for Dice {
    type Error = Infallible;

    #[allow(clippy::cast_possible_truncation)] // shifted
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for part in dst.chunks_mut(8) {
            let octets = self.try_next_u64()?.to_be_bytes();
            part.copy_from_slice(&octets[..part.len()]);
        }
        Ok(())
    }
}

/// It is not; but the seal must be simulated too.
impl TryCryptoRng for Dice {}
