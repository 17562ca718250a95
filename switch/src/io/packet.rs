//! A copy of every packet that arrives on the devices of a network namespace.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::Socket;

pub use crate::sys::packet::PacketInfo;
use crate::sys::{mmsg, packet};

/// Octets that hold any packet: 64 KiB of IP and a link header, rounded up.
pub const MAX_PACKET: usize = 66_000;
/// Octets of packets that may wait to be read; each counts for about twice its size.
const QUEUE: usize = 32 << 20;

/// Packets that arrive in the namespace of the thread that opened it; what leaves is not seen.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
}

impl PacketSocket {
    /// Sees packets from now on; each call of `receive` will wait up to `patience` for one. Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    ///
    /// The system's refusal.
    pub fn open(patience: Duration) -> io::Result<Self> {
        let socket = packet::open()?;
        socket.set_read_timeout(Some(patience))?;
        // The first needs CAP_NET_ADMIN; what is left is what the kernel gives everybody.
        let size = i32::try_from(QUEUE).unwrap_or(i32::MAX);
        if mmsg::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size).is_err() {
            socket.set_recv_buffer_size(QUEUE)?;
        }
        Ok(Self { socket })
    }

    /// Waits for a packet; `None` when none came in time. What `buffer` has no room for is cut off.
    ///
    /// # Errors
    ///
    /// What the kernel says otherwise, such as that the device went down.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<PacketInfo>> {
        match packet::receive(self.socket.as_fd(), buffer) {
            Ok(arrival) => Ok(Some(arrival)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How many packets were lost for want of room since this was asked last.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn lost(&self) -> io::Result<u32> {
        packet::lost(self.socket.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::link::{LinkSetup, Links};
    use crate::io::netns;

    #[test]
    #[ignore = "needs root: run by test.sh"]
    fn what_arrives_is_seen_whole_once_with_its_device_and_time() {
        let work = || {
            netns::enter_new().unwrap();
            let links = Links::open().unwrap();
            links.configure(1, &LinkSetup { up: true, ..LinkSetup::default() }).unwrap();
            let packets = PacketSocket::open(Duration::from_millis(200)).unwrap();
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"seen", socket.local_addr().unwrap()).unwrap();

            let mut buffer = [0; MAX_PACKET];
            let arrival = packets.receive(&mut buffer).unwrap().expect("a packet");
            assert_eq!((arrival.device, arrival.len), (1, 14 + 20 + 8 + 4));
            assert_eq!(&buffer[42..46], b"seen");
            assert!(arrival.time > Duration::from_secs(1_700_000_000), "{arrival:?}");
            assert_eq!(packets.receive(&mut buffer).unwrap(), None, "not a second time as it left");
            assert_eq!(packets.lost().unwrap(), 0);
        };
        std::thread::spawn(work).join().unwrap();
    }
}
