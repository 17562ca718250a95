//! Settings and counters of the kernel that concern a whole host, or its network namespace.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::Path;

use crate::sys;
use crate::sys::ethtool::Feature;

/// The number in a file of `/proc/sys`; `None` when there is none.
#[must_use]
pub fn setting(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Writes a number to a file of `/proc/sys`, and says what was there before.
///
/// # Errors
///
/// The system's refusal: without root, or of a setting that only the first network namespace has.
pub fn change_setting(path: &Path, value: u32) -> io::Result<Option<u64>> {
    let before = setting(path);
    fs::write(path, value.to_string())?;
    Ok(before)
}

/// Whether packets are dropped that come by a device which does not lead to their source: the stricter of the device's
/// filter and that of all counts, and 1 is strict.
#[must_use]
pub fn filters_reverse_path(device: &str) -> bool {
    let filter = |name| setting(&Path::new("/proc/sys/net/ipv4/conf").join(name).join("rp_filter"));
    filter("all").max(filter(device)) == Some(1)
}

/// Whether a device computes checksums; `None` = it does not say.
#[must_use]
pub fn computes_checksums(device: &str) -> Option<bool> {
    does(device, Feature::Checksums)
}

/// Whether the datagrams that a NIC receives are joined (GRO); `None` = it does not say, or is no hardware: a virtual
/// device hands over what its other end sent in one piece.
#[must_use]
pub fn joins_datagrams(device: &str) -> Option<bool> {
    let is_hardware = Path::new("/sys/class/net").join(device).join("device").exists();
    is_hardware.then(|| does(device, Feature::Gro)).flatten()
}

fn does(device: &str, what: Feature) -> Option<bool> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).or_else(|_| UdpSocket::bind(("::1", 0))).ok()?;
    sys::ethtool::does(socket.as_fd(), device, what).ok()
}

/// Datagrams that arrived in this namespace with a wrong UDP checksum, of both IP versions.
#[must_use]
pub fn udp_checksum_errors() -> u64 {
    let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    v4_checksum_errors(&read("snmp")) + v6_checksum_errors(&read("snmp6"))
}

/// Two lines that begin alike: names, then numbers.
fn v4_checksum_errors(text: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let mut pairs = names.split_whitespace().zip(numbers.split_whitespace());
    pairs.find(|(name, _)| *name == "InCsumErrors").and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
}

fn v6_checksum_errors(text: &str) -> u64 {
    let number = text.lines().find_map(|line| line.strip_prefix("Udp6InCsumErrors"));
    number.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_errors_are_read_from_both_files() {
        let v4 = "Tcp: InSegs InCsumErrors\nTcp: 9 8\nUdp: InDatagrams NoPorts InErrors InCsumErrors IgnoredMulti\nUdp: 5 4 3 7 1\n";
        assert_eq!(v4_checksum_errors(v4), 7);
        assert_eq!(
            v6_checksum_errors("Udp6InErrors                    \t3\nUdp6InCsumErrors                \t12\n"),
            12
        );
        assert_eq!(v4_checksum_errors("") + v6_checksum_errors("garbage"), 0);
    }

    #[test]
    fn the_loopback_computes_checksums_and_an_absent_device_says_nothing() {
        assert_eq!(computes_checksums("lo"), Some(true));
        assert_eq!(computes_checksums("no-such-link"), None);
        assert_eq!(computes_checksums("a-name-far-too-long-for-any-link"), None);
        assert_eq!((does("lo", Feature::Gro), joins_datagrams("lo")), (Some(true), None), "no hardware");
    }

    #[test]
    fn a_missing_setting_has_no_number_and_cannot_be_changed() {
        let missing = Path::new("/proc/sys/net/ipv4/conf/no-such-link/rp_filter");
        assert_eq!(setting(missing), None);
        assert!(change_setting(missing, 2).is_err());
        assert!(setting(Path::new("/proc/sys/net/core/somaxconn")).is_some());
    }
}
