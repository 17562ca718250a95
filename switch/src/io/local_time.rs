//! The time of day where this host is, as text.

use std::ffi::CString;
use std::time::Duration;

use crate::sys::local_time;

/// A moment since 1970 as `strftime(3)` writes it by `format`; `None` = nothing comes of it, or more than 4,095 octets.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use weft::io::local_time::format;
///
/// assert_eq!(format("%%-%S.pcap", Duration::from_secs(90)).as_deref(), Some("%-30.pcap"));
/// ```
#[must_use]
pub fn format(format: &str, since_1970: Duration) -> Option<String> {
    let format = CString::new(format).ok()?;
    let text = local_time::format(&format, i64::try_from(since_1970.as_secs()).ok()?)?;
    String::from_utf8(text).ok()
}
