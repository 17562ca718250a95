//! The daemon's end of a capture: messages that come by a socket.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::session::End;
use crate::capture::record::Message;

/// Octets that are read at once.
const CHUNK: usize = 256 << 10;

/// The connection, and what is not yet a whole message.
#[derive(Debug)]
pub(super) struct Stream {
    socket: UnixStream,
    chunk: Box<[u8]>,
    rest: Vec<u8>,
}

impl Stream {
    /// `read`: what was read of it already.
    pub(super) fn new(socket: UnixStream, read: Vec<u8>) -> Self {
        Self { socket, chunk: vec![0; CHUNK].into(), rest: read }
    }

    /// Reads once, which waits if nothing is there; whether the other end is still open.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        match self.socket.read(&mut self.chunk) {
            Ok(len) => {
                self.rest.extend_from_slice(&self.chunk[..len]);
                Ok(len > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            // A daemon that ended in the middle.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Hands out the messages that are there whole, until one of them ends it.
    pub(super) fn each(
        &mut self,
        mut handle: impl FnMut(&Message<'_>) -> Result<(), End>,
    ) -> Result<(), End> {
        let mut at = 0;
        let ended = loop {
            match Message::decode(&self.rest[at..]) {
                Ok(None) => break Ok(()),
                Ok(Some((message, len))) => {
                    at += len;
                    if let Err(end) = handle(&message) {
                        break Err(end);
                    }
                }
                Err(broken) => break Err(End::Broken(broken)),
            }
        };
        self.rest.drain(..at);
        ended
    }

    /// Tells the daemon that this is enough; it sends what it still has.
    pub(super) fn leave(&self) {
        // One that is gone needs not be told.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::capture::record::Point;

    #[test]
    fn messages_that_come_in_pieces_are_handed_out_whole_and_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut octets = Vec::new();
        (1..=3).for_each(|frames| Message::Lost { point: Point::Gossip, frames }.encode(&mut octets));
        let mut stream = Stream::new(ours, octets[..5].to_vec());
        let mut seen = Vec::new();
        let mut take = |stream: &mut Stream| {
            let each = |message: &Message<'_>| {
                let Message::Lost { frames, .. } = message else { panic!("{message:?}") };
                seen.push(*frames);
                Ok(())
            };
            stream.each(each).unwrap();
        };
        take(&mut stream);
        for piece in octets[5..].chunks(9) {
            theirs.write_all(piece).unwrap();
            assert!(stream.read().unwrap());
            take(&mut stream);
        }
        drop(theirs);
        assert!(!stream.read().unwrap(), "the other end is closed");
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn octets_that_are_no_message_end_it() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut stream = Stream::new(ours, vec![0; 4]);
        assert!(matches!(stream.each(|_| Ok(())), Err(End::Broken(_))));
    }
}
