//! iperf3 between two pods, which is what people measure an overlay with.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::command::Process;
use crate::netns::Netns;
use crate::wait;

const PORT: u16 = 5301;

/// A transfer as fast as TCP lets it, for some seconds.
#[derive(Debug)]
pub struct Iperf {
    server: Process,
    client: Process,
    limit: Duration,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Octets, in all.
    pub octets: u64,
    /// The longest time in which nothing did, in tenths of a second.
    pub longest_pause: Duration,
}

impl Iperf {
    /// Begins to send; the logs go to `dir`.
    ///
    /// # Panics
    ///
    /// When the server does not listen.
    #[must_use]
    #[track_caller]
    pub fn start(from: &Netns, to: (&Netns, IpAddr), seconds: u32, dir: &Path) -> Self {
        let (port, address, time) = (PORT.to_string(), to.1.to_string(), seconds.to_string());
        let words = ["iperf3", "-s", "-1", "-J", "-i", "0.1", "-p", &port];
        let server = to.0.start(&words, &[], &dir.join("iperf3-server.json"));
        let listens = || to.0.exec(&format!("ss -Hltn sport = :{PORT}")).contains(&port);
        wait::until(wait::secs(5), "iperf3 to listen", listens);
        let words = ["iperf3", "-c", &address, "-C", "cubic", "-i", "0", "-t", &time, "-p", &port];
        let client = from.start(&words, &[], &dir.join("iperf3-client.txt"));
        Self { server, client, limit: Duration::from_secs(u64::from(seconds) + 15) }
    }

    /// Waits for its end; says what arrived.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn finish(mut self) -> Bulk {
        let code = self.client.wait(self.limit);
        assert_eq!(code, 0, "iperf3: {}", self.client.log());
        self.server.wait(wait::secs(5));
        let said = self.server.log();
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("iperf3: {e}: {said}"));
        let parts = report["intervals"].as_array().cloned().unwrap_or_default();
        let (mut octets, mut pause, mut longest) = (0, 0.0_f64, 0.0_f64);
        for part in parts.iter().map(|part| &part["sum"]) {
            let arrived = part["bytes"].as_u64().unwrap_or(0);
            octets += arrived;
            pause = if arrived == 0 { pause + part["seconds"].as_f64().unwrap_or(0.0) } else { 0.0 };
            longest = longest.max(pause);
        }
        Bulk { octets, longest_pause: Duration::from_secs_f64(longest) }
    }
}
