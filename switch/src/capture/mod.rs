//! What is written down of frames while somebody captures or asks for dropped ones: pure, shared by workers, the daemon and
//! the command line.
//!
//! | module | what |
//! |---|---|
//! | [`program`] | a filter: classic BPF, checked once, then run on frames |
//! | [`record`] | what is told of a frame at one point, and the octets of the stream that carries it |
//! | [`ring`] | from a worker to whoever writes the capture down |
//! | [`datagrams`] | what threads other than workers write down |
//! | [`text`] | a record in words: lines for a person, comments of a file |
//! | [`outer`] | the Ethernet, IP and UDP headers of a datagram, which a UDP socket never sees: made up |
//! | [`pcapng`] | files that Wireshark and tcpdump open, block by block |
//!
//! A frame that passes weft is seen twice, at the point where it comes in and at the one where it leaves: the records of
//! both name it by the same id.
//!
//! ```text
//!   port:web --In--> worker --Out--> peer:node-b        peer:node-b --In--> worker --Out--> port:db
//! ```

pub mod datagrams;
mod losses;
pub mod outer;
pub mod pcapng;
pub mod program;
pub mod record;
pub mod ring;
pub mod text;
