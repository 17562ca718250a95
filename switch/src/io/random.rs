//! Random octets from the kernel.

use std::io;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};

/// Random numbers from the kernel, one system call each: for keys, identifiers and gossip, not for frames.
pub type OsRng = UnwrapErr<SysRng>;

/// The kernel's random numbers, after the first ones were got.
///
/// # Errors
///
/// The system's refusal, such as by a filter of system calls. Once it has answered, it goes on.
///
/// # Examples
///
/// ```
/// let mut rng = weft::io::random::os_rng()?;
/// let (one, other) = (fdb::gossip::seal::Key::random(&mut rng), fdb::gossip::seal::Key::random(&mut rng));
/// assert_ne!(one, other);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn os_rng() -> io::Result<OsRng> {
    getrandom::u64()?;
    Ok(UnwrapErr(SysRng))
}

/// 16 random octets as a number.
///
/// # Errors
///
/// As for [`os_rng`].
pub fn random_u128() -> io::Result<u128> {
    let mut octets = [0; 16];
    os_rng()?.fill_bytes(&mut octets);
    Ok(u128::from_be_bytes(octets))
}
