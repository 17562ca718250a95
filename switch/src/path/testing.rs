//! What several tests need.

use std::time::Instant;

use encap::Format;
use encap::tunnel::IpVersion;

use super::Way;

/// The ways over IPv4.
pub(super) const VXLAN: Way = Way { family: IpVersion::V4, format: Format::Vxlan };
pub(super) const GENEVE: Way = Way { family: IpVersion::V4, format: Format::Geneve };

/// Some instant to begin with; time passes by hand afterwards.
pub(super) fn start() -> Instant {
    crate::clock::now()
}
