//! How `foca` itself writes and reads: both identities whole, as it knows nothing of the seal.

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member};

use super::super::id::MemberId;
use super::{Reader, WireError, put_identity, put_message, put_update};
use crate::octets::put_varint;

/// Writes and reads for `foca`, the whole target first.
#[derive(Debug)]
pub(in crate::gossip::members) struct Wire;

impl Codec<MemberId> for Wire {
    type Error = WireError;

    fn encode_header(&mut self, header: &Header<MemberId>, buf: impl BufMut) -> Result<(), WireError> {
        let mut out = Vec::with_capacity(192);
        put_identity(&mut out, &header.dst);
        put_identity(&mut out, &header.src);
        put_varint(&mut out, header.src_incarnation.into());
        put_message(&mut out, &header.message);
        write_whole(&out, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<MemberId>, WireError> {
        read_one(buf, |input| {
            let dst = input.identity()?;
            let (src, src_incarnation, message) = input.header()?;
            Ok(Header { src, src_incarnation, dst, message })
        })
    }

    fn encode_member(&mut self, member: &Member<MemberId>, buf: impl BufMut) -> Result<(), WireError> {
        let mut out = Vec::with_capacity(66);
        put_update(&mut out, member);
        write_whole(&out, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<MemberId>, WireError> {
        read_one(buf, read_update)
    }
}

fn read_update(input: &mut Reader<'_>) -> Result<Member<MemberId>, WireError> {
    input.update()
}

fn write_whole(octets: &[u8], mut buf: impl BufMut) -> Result<(), WireError> {
    if buf.remaining_mut() < octets.len() {
        return Err(WireError::NoRoom);
    }
    buf.put_slice(octets);
    Ok(())
}

fn read_one<T>(
    mut buf: impl Buf,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    let before = buf.chunk().len();
    let mut input = Reader(buf.chunk());
    let value = read(&mut input)?;
    let read = before - input.0.len();
    buf.advance(read);
    Ok(value)
}
