//! What crosses the demo's underlay: looked at, counted, and written to a file for Wireshark.
//!
//! Every packet is taken where it arrives at the fabric, once, on the cable of the node that sent it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow};
use encap::ether;

use super::dissect::{Datagram, Names};
use super::topology::UNDERLAY_MTU;
use crate::io::packet::{MAX_PACKET, PacketSocket};

/// How long it waits for a packet before it asks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(20);

/// A file for packets, in the format that Wireshark and tcpdump read (libpcap, times in nanoseconds).
pub(super) struct PcapFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl PcapFile {
    /// Makes the file, or empties it, and writes its header.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = Self { path: path.to_owned(), out: BufWriter::new(File::create(path)?) };
        // Magic number, version 2.4, time zone, accuracy, longest packet, Ethernet.
        let (version, longest) = (2 | 4 << 16, 262_144_u32);
        for word in [0xa1b2_3c4d, version, 0, 0, longest, 1] {
            file.out.write_all(&word.to_ne_bytes())?;
        }
        file.out.flush()?;
        Ok(file)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a packet: its time since 1970, what there is of it, and its length on the wire.
    fn write(&mut self, time: Duration, octets: &[u8], len: usize) -> anyhow::Result<()> {
        let words = [u32::try_from(time.as_secs())?, time.subsec_nanos(), u32::try_from(octets.len())?];
        for word in words.into_iter().chain([u32::try_from(len)?]) {
            self.out.write_all(&word.to_ne_bytes())?;
        }
        Ok(self.out.write_all(octets)?)
    }
}

/// What was captured.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Captured {
    /// Packets in all, also those that carry no frame, such as ARP between the nodes.
    pub(super) packets: u64,
    /// Those that carry a frame of a pod.
    pub(super) datagrams: u64,
    /// Those with a pod's address in an outer header: none.
    pub(super) leaks: u64,
    /// Batches that the kernel had not cut: packets longer than a wire could carry.
    pub(super) uncut: u64,
    /// Packets that there was no time for.
    pub(super) lost: u64,
    /// The first ping between the first pods of two hosts.
    pub(super) ping: Option<Vec<u8>>,
}

impl Captured {
    /// Looks at one packet.
    fn see(&mut self, packet: &[u8], names: &Names) {
        self.packets += 1;
        self.uncut += u64::from(packet.len() > UNDERLAY_MTU as usize + ether::HEADER_LEN);
        let Some(datagram) = Datagram::parse(packet, names.format()) else { return };
        self.datagrams += 1;
        self.leaks += u64::from(datagram.leaks(names));
        if self.ping.is_none() && datagram.is_ping(names) {
            self.ping = Some(packet.to_vec());
        }
    }
}

/// A capture that runs; it ends with this value, or by [`Capture::stop`].
pub(super) struct Capture {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<Captured>>>,
}

impl Capture {
    /// Captures in the calling thread's namespace what arrives on `cables`.
    pub(super) fn start(cables: Vec<u32>, names: Names, file: Option<PcapFile>) -> anyhow::Result<Self> {
        let socket = PacketSocket::open(PATIENCE).context("cannot open a packet socket")?;
        let stopping = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stopping);
        let work = move || capture(&socket, &cables, &names, file, &asked);
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(work)?;
        Ok(Self { stopping, thread: Some(thread) })
    }

    /// Takes what is still waiting, and ends.
    pub(super) fn stop(mut self) -> anyhow::Result<Captured> {
        self.stopping.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a capture is stopped once")?;
        thread.join().map_err(|_| anyhow!("the capture ended early"))?
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// The thread: one packet after the other, until none is left and it is to stop.
fn capture(
    socket: &PacketSocket,
    cables: &[u32],
    names: &Names,
    mut file: Option<PcapFile>,
    stopping: &AtomicBool,
) -> anyhow::Result<Captured> {
    let (mut captured, mut buffer) = (Captured::default(), vec![0; MAX_PACKET]);
    loop {
        let last = stopping.load(Ordering::Relaxed);
        let Some(arrival) = socket.receive(&mut buffer).context("cannot capture")? else {
            if last {
                break;
            }
            continue;
        };
        if !cables.contains(&arrival.device) {
            continue;
        }
        let packet = &buffer[..arrival.len.min(MAX_PACKET)];
        captured.see(packet, names);
        if let Some(file) = &mut file {
            file.write(arrival.time, packet, arrival.len)
                .map_err(|error| cannot_write(&file.path, &error))?;
        }
    }
    if let Some(file) = &mut file {
        file.out.flush().map_err(|error| cannot_write(&file.path, &error.into()))?;
    }
    captured.lost = socket.lost()?.into();
    Ok(captured)
}

fn cannot_write(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "cannot write to {}: {error}; make room there, or name another file for --capture",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_header_of_pcap_and_each_packet_behind_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcap");
        let mut file = PcapFile::create(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 24, "the header is there at once");
        file.write(Duration::new(7, 9), &[0xaa; 3], 60).unwrap();
        drop(file);

        let octets = std::fs::read(&path).unwrap();
        let words: Vec<_> = octets.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
        assert_eq!(words[..6], [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1]);
        assert_eq!(words[6..10], [7, 9, 3, 60]);
        assert_eq!(octets[40..], [0xaa; 3]);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/out.pcap");
        assert_eq!(PcapFile::create(&missing).map(drop).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
