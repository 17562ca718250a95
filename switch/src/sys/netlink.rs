//! A blocking rtnetlink socket: one request, all its answers.
//!
//! The kernel answers inside `send`, so blocking costs nothing, and callers need no async runtime. The socket stays
//! in the network namespace that its thread was in when it was opened.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use tokio::io::unix::AsyncFd;

/// What a request is meant to do; the flags of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// One object.
    Get,
    /// Every object.
    Dump,
    /// Change or delete something.
    Change,
    /// Make something that must not exist.
    Create,
}

impl Verb {
    const fn flags(self) -> u16 {
        NLM_F_REQUEST
            | match self {
                Self::Get => NLM_F_ACK,
                Self::Dump => NLM_F_DUMP,
                Self::Change => NLM_F_ACK,
                Self::Create => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            }
    }
}

/// A netlink socket of the namespace that it was opened in.
pub(crate) struct Rtnetlink {
    socket: Socket,
    sequence: Cell<u32>,
}

impl Rtnetlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: Cell::new(0) })
    }

    /// Sends one request and collects its answers up to the acknowledgement or the end of the dump.
    ///
    /// # Errors
    ///
    /// The kernel's refusal as the OS error that it is; `InvalidData` when an answer cannot be read.
    pub(crate) fn request(
        &self,
        verb: Verb,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        self.visit(verb, message, |answer| answers.push(answer))?;
        Ok(answers)
    }

    /// As [`Self::request`], but hands each answer over as it comes: for those that may be very many.
    pub(crate) fn visit(
        &self,
        verb: Verb,
        message: RouteNetlinkMessage,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = verb.flags();
        request.header.sequence_number = sequence;
        request.finalize();
        let mut octets = vec![0; request.buffer_len()];
        request.serialize(&mut octets);
        self.socket.send(&octets, 0)?;

        while !self.receive(sequence, &mut each)? {}
        Ok(())
    }

    /// Takes one datagram of answers; true = that was the last one.
    fn receive(&self, sequence: u32, each: &mut impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
        let (octets, _) = self.socket.recv_from_full()?;
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            if message.header.sequence_number != sequence {
                continue; // left over from a request that failed half way
            }
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => each(answer),
                NetlinkPayload::Error(error) => match error.code {
                    Some(code) => return Err(io::Error::from_raw_os_error(code.get().abs())),
                    None => return Ok(true),
                },
                NetlinkPayload::Done(_) => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }
}

/// A socket that the kernel writes to when links, addresses or routes of a namespace change.
#[derive(Debug)]
pub(crate) struct Subscription {
    socket: Socket,
}

impl Subscription {
    /// Opens one in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        // It only counts that something was said, so that what found no room is no loss.
        socket.set_no_enobufs(true)?;
        for group in [
            libc::RTNLGRP_LINK,
            libc::RTNLGRP_IPV4_IFADDR,
            libc::RTNLGRP_IPV4_ROUTE,
            libc::RTNLGRP_IPV6_IFADDR,
            libc::RTNLGRP_IPV6_ROUTE,
        ] {
            socket.add_membership(group)?;
        }
        Ok(Self { socket })
    }

    /// The same for whoever waits asynchronously; only inside of a runtime.
    pub(crate) fn register(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the subscription owns its socket, names the same descriptor always, and closes it only when it is dropped
        // together with the registration.
        unsafe { AsyncFd::register(self) }.map_err(Into::into)
    }

    /// Throws away what was said; returns whether anything was.
    pub(crate) fn drain(&self) -> io::Result<bool> {
        let mut anything = false;
        let mut octets = [0; 4096];
        loop {
            match self.socket.recv(&mut &mut octets[..], 0) {
                Ok(_) => anything = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(anything),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsRawFd for Subscription {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
