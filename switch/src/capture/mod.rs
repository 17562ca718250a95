//! What is written down of frames while somebody captures or asks for dropped ones: pure, without I/O.
//!
//! | module | what |
//! |---|---|
//! | [`outer`] | the Ethernet, IP and UDP headers of a datagram, which a UDP socket never sees: made up |
//! | [`pcapng`] | files that Wireshark and tcpdump open, block by block |
//! | [`line`] | a frame or a datagram in a line of text |

pub mod line;
pub mod outer;
pub mod pcapng;
