//! Frames made by hand, as if a pod had sent them.
//!
//! A kernel VXLAN device on the pod's loopback unwraps what we send it by UDP, and an nftables rule forwards the frame,
//! whatever it is, to the pod's `eth0`. So no raw socket is needed.

use std::net::UdpSocket;
use std::sync::Arc;

use crate::netns::Netns;

/// A way to put frames on a pod's `eth0`.
#[derive(Debug)]
pub struct Injector {
    socket: UdpSocket,
}

impl Injector {
    /// Prepares a pod that has an `eth0`.
    #[must_use]
    #[track_caller]
    pub fn new(pod: &Arc<Netns>) -> Self {
        pod.ip(
            "link add gun0 type vxlan id 1 dstport 9999 local 127.0.0.1 remote 127.0.0.2 dev lo nolearning",
        );
        pod.ip("link set gun0 mtu 9000 up");
        pod.nft(
            "table netdev gun {\n chain in {\n type filter hook ingress device \"gun0\" priority 0\n \
             fwd to \"eth0\"\n }\n}\n",
        );
        let socket = pod.enter(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect("127.0.0.1:9999").expect("a way to the loopback");
            socket
        });
        Self { socket }
    }

    /// Sends a frame of at least 14 octets.
    ///
    /// # Panics
    ///
    /// When the kernel refuses it.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) {
        let mut datagram = vec![0x08, 0, 0, 0, 0, 0, 1, 0];
        datagram.extend(frame);
        self.socket.send(&datagram).unwrap_or_else(|e| panic!("a frame of {} octets: {e}", frame.len()));
    }
}

/// A frame of 60 octets with these addresses and this EtherType.
#[must_use]
pub fn frame(destination: [u8; 6], source: [u8; 6], ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(60);
    frame.extend(destination);
    frame.extend(source);
    frame.extend(ethertype.to_be_bytes());
    frame.resize(60, 0);
    frame
}
