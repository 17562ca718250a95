//! Which address a DHCP server gives a host ([RFC 2131](https://www.rfc-editor.org/rfc/rfc2131#section-2)).
//!
//! ```text
//!  Ethernet 14 | IPv4 20 | UDP 8 (67 -> 68) | op, htype, hlen 3 .. yiaddr 4 .. chaddr 16 .. cookie 4 | options
//! ```

use std::net::Ipv4Addr;

use crate::MacAddr;
use crate::ether::{self, Frame};
use crate::neighbor::{Binding, is_host};

/// Where the UDP header is, behind an IPv4 header without options: servers send no other.
const UDP: usize = ether::HEADER_LEN + 20;
/// Where the message is.
const MESSAGE: usize = UDP + 8;
/// Ports 67 and 68.
const SERVER_TO_CLIENT: [u8; 4] = [0, 67, 0, 68];
/// A reply, over Ethernet.
const REPLY: [u8; 3] = [2, 1, 6];
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PAD: u8 = 0;
const MESSAGE_TYPE: u8 = 53;
const ACK: u8 = 5;

/// The address that an acknowledgement gives to a host; `None` for all other frames: any octets are allowed.
///
/// # Examples
///
/// ```
/// use encap::{ether::Frame, lease};
///
/// let mut frame = [0; 300];
/// frame[6] = 2;
/// frame[12..15].copy_from_slice(&[8, 0, 0x45]); // IPv4
/// frame[23] = 17; // UDP
/// frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
/// frame[42..45].copy_from_slice(&[2, 1, 6]);
/// frame[58..62].copy_from_slice(&[10, 0, 0, 7]);
/// frame[70..76].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
/// frame[278..285].copy_from_slice(&[99, 130, 83, 99, 53, 1, 5]);
/// let binding = lease::acknowledged(&Frame::new(&frame)?).expect("an acknowledgement");
/// assert_eq!((binding.ip, binding.mac), ([10, 0, 0, 7].into(), "02:00:00:00:00:07".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// Three comparisons for a frame that is none.
#[must_use]
#[inline]
pub fn acknowledged(frame: &Frame<'_>) -> Option<Binding> {
    let octets = frame.octets();
    let head = octets.get(..MESSAGE)?;
    let is_udp = head[12..15] == [8, 0, 0x45] && head[23] == 17 && head[20] & 0x3f == 0 && head[21] == 0;
    if !is_udp || head[UDP..UDP + 4] != SERVER_TO_CLIENT {
        return None;
    }
    read(&octets[MESSAGE..])
}

fn read(message: &[u8]) -> Option<Binding> {
    let (head, options) = message.split_at_checked(240)?;
    if head[..3] != REPLY || head[236..] != COOKIE || message_type(options)? != ACK {
        return None;
    }
    let ip = Ipv4Addr::new(head[16], head[17], head[18], head[19]).into();
    let mac = MacAddr::new([head[28], head[29], head[30], head[31], head[32], head[33]]);
    let is_one = is_host(ip) && !mac.is_zero() && !mac.is_group();
    is_one.then_some(Binding { ip, mac, router: None })
}

/// Walks the options to the message type.
fn message_type(mut options: &[u8]) -> Option<u8> {
    loop {
        let (&code, rest) = options.split_first()?;
        if code == PAD {
            options = rest;
            continue;
        }
        let (&len, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(len.into())?;
        if code == MESSAGE_TYPE {
            return value.first().copied();
        }
        options = rest;
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    /// A reply of a server, with these options behind the cookie.
    fn reply(ports: (u16, u16), op: u8, ip: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 236];
        message[..3].copy_from_slice(&[op, 1, 6]);
        message[16..20].copy_from_slice(&ip);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
        message.extend(COOKIE);
        message.extend(options);
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 7])
            .ipv4([10, 0, 0, 1], ip, 64)
            .udp(ports.0, ports.1)
            .write(&mut frame, &message)
            .unwrap();
        frame
    }

    fn read(frame: &[u8]) -> Option<Binding> {
        acknowledged(&Frame::new(frame).unwrap())
    }

    #[test]
    fn only_an_acknowledgement_of_a_server_binds_an_address() {
        let ip = [10, 0, 0, 7];
        let ack = [PAD, 51, 4, 0, 0, 1, 0, MESSAGE_TYPE, 1, ACK, 255];
        let binding = Binding { ip: ip.into(), mac: MacAddr::new([2, 0, 0, 0, 0, 7]), router: None };
        assert_eq!(read(&reply((67, 68), 2, ip, &ack)), Some(binding));

        let offer = [MESSAGE_TYPE, 1, 2, 255];
        for other in [
            reply((67, 68), 2, ip, &offer),
            reply((67, 68), 1, ip, &ack),
            reply((68, 67), 2, ip, &ack),
            reply((67, 68), 2, [0; 4], &ack),
            reply((67, 68), 2, ip, &ack[..8]),
            reply((67, 68), 2, ip, &[]),
        ] {
            assert_eq!(read(&other), None);
        }
        let mut fragment = reply((67, 68), 2, ip, &ack);
        fragment[20] = 0x20;
        assert_eq!(read(&fragment), None);
    }

    proptest! {
        #[test]
        fn no_octets_panic(mut frame in prop::collection::vec(any::<u8>(), 14..400), as_reply in any::<bool>()) {
            if as_reply && frame.len() > 282 {
                let right = reply((67, 68), 2, [10, 0, 0, 7], &[]);
                frame[..282].copy_from_slice(&right[..282]);
            }
            let _ = read(&frame);
        }
    }
}
