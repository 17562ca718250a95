//! The time of day where this host is (`localtime_r(3)`, `strftime(3)`).

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// The most octets of a text.
const MOST: usize = 4096;

/// A moment, in seconds since 1970, as `strftime` writes it; `None` = it does not fit, or there is no such day.
pub(crate) fn format(format: &CStr, seconds: i64) -> Option<Vec<u8>> {
    #[allow(clippy::useless_conversion)] // the width of `time_t` depends on the architecture
    let seconds = libc::time_t::try_from(seconds).ok()?;
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both point to values that outlive the call.
    let done = unsafe { libc::localtime_r(&raw const seconds, broken_down.as_mut_ptr()) };
    if done.is_null() {
        return None;
    }
    let mut text = vec![0u8; MOST];
    // SAFETY: `text` has the stated length, the format ends with a NUL, and the time was filled in just now.
    let len = unsafe {
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), broken_down.as_ptr())
    };
    text.truncate(len);
    (len > 0).then_some(text)
}
