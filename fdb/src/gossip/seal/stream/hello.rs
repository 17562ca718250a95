//! How both ends of a stream prove that they have the key, before either sends anything else.

use rand_core::CryptoRng;

use super::{DATA, HEAD_OCTETS, Stream, StreamError, StreamOpener, StreamSealer};
use crate::gossip::seal::cipher::{Cipher, TAG_OCTETS};
use crate::gossip::seal::wire::{HELLO, PREFIX_OCTETS, Prefix};
use crate::gossip::seal::{KeyId, Mode, Process, Refusal};

/// Octets of a hello.
pub const HELLO_OCTETS: usize = HEAD + TAG_OCTETS;

/// Octets of the caller's confirm, the first that it sends after the hellos.
pub const CONFIRM_OCTETS: usize = HEAD_OCTETS + TAG_OCTETS;

const SALT_OCTETS: usize = 16;
/// Octets of a hello before its tag.
const HEAD: usize = PREFIX_OCTETS + SALT_OCTETS;

/// What keys are derived for.
const FIRST_HELLO: &[u8] = b"weft stream v1 first hello";
const SECOND_HELLO: &[u8] = b"weft stream v1 second hello";
const CALLER_SPEAKS: &[u8] = b"weft stream v1 caller";
const CALLEE_SPEAKS: &[u8] = b"weft stream v1 callee";

/// The end that connects, while it waits for the other's hello.
pub struct Caller {
    me: Process,
    key: Option<KeyId>,
    head: [u8; HEAD],
}

impl Caller {
    /// Begins a stream; returns the hello to send.
    pub fn new(me: Process, mode: &Mode, rng: &mut impl CryptoRng) -> (Self, [u8; HELLO_OCTETS]) {
        let prefix = mode.prefix(me);
        let head = new_head(&prefix, rng);
        let first = mode.key(prefix.key).map(|key| Cipher::derive(key, None, &[FIRST_HELLO, &head]));
        let first = first.unwrap_or_else(|_| unreachable!("the prefix names a key of this mode"));
        (Self { me, key: prefix.key, head }, with_tag(&first, head))
    }

    /// Takes the other end's hello; returns the stream, and the confirm to send before all else.
    ///
    /// `mode` is the one of the beginning, or the same after a change of keys.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the other end has not proved that it has the key. Nothing is to be sent to it.
    pub fn finish(
        self,
        mode: &Mode,
        hello: &[u8; HELLO_OCTETS],
    ) -> Result<(Stream, [u8; CONFIRM_OCTETS]), Refusal> {
        let (head, prefix) = decode(hello, self.me)?;
        let key = mode.key(prefix.key)?;
        if let (true, Some(id)) = (prefix.key != self.key, prefix.key) {
            return Err(Refusal::UnknownKey { id });
        }
        let ends = [&self.head[..], head].concat();
        check_tag(&Cipher::derive(key, None, &[SECOND_HELLO, &ends]), &ends, hello)?;
        let [caller, callee] =
            [CALLER_SPEAKS, CALLEE_SPEAKS].map(|purpose| Cipher::derive(key, None, &[purpose, &ends]));
        let mut sealer = StreamSealer::new(caller);
        let mut octets = Vec::with_capacity(CONFIRM_OCTETS);
        let sealed = sealer.record(DATA, &[], &mut octets);
        let confirm = sealed.ok().and_then(|()| octets.try_into().ok());
        let confirm = confirm.unwrap_or_else(|| unreachable!("the first record of a stream can be sealed"));
        let peer = Process { node: prefix.node, boot: prefix.boot };
        Ok((Stream { peer, sealer, opener: StreamOpener::new(callee) }, confirm))
    }
}

/// The end that was called, while it waits for the confirm.
pub struct Callee {
    stream: Stream,
}

impl Callee {
    /// Takes the hello of who connected; returns the hello to send back.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the hello was not made with the key. Nothing is to be sent.
    pub fn new(
        me: Process,
        mode: &Mode,
        hello: &[u8; HELLO_OCTETS],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, [u8; HELLO_OCTETS]), Refusal> {
        let (head, prefix) = decode(hello, me)?;
        // The key of the caller, also while another one seals here: both ends have it.
        let key = mode.key(prefix.key)?;
        check_tag(&Cipher::derive(key, None, &[FIRST_HELLO, head]), head, hello)?;
        let own = new_head(&Prefix { key: prefix.key, node: me.node, boot: me.boot }, rng);
        let ends = [head, &own[..]].concat();
        let [second, caller, callee] = [SECOND_HELLO, CALLER_SPEAKS, CALLEE_SPEAKS]
            .map(|purpose| Cipher::derive(key, None, &[purpose, &ends]));
        let peer = Process { node: prefix.node, boot: prefix.boot };
        let stream = Stream { peer, sealer: StreamSealer::new(callee), opener: StreamOpener::new(caller) };
        let mut answer = own.to_vec();
        answer.extend_from_slice(&tag(&second, &ends));
        let answer = answer.try_into().unwrap_or_else(|_| unreachable!("a head and a tag are a hello"));
        Ok((Self { stream }, answer))
    }

    /// Takes the confirm; only then there is a stream to send anything over.
    ///
    /// # Errors
    ///
    /// [`StreamError`]: the caller is not there now, or has not the key.
    pub fn finish(self, confirm: &[u8; CONFIRM_OCTETS]) -> Result<Stream, StreamError> {
        let mut stream = self.stream;
        let mut nothing = Vec::new();
        match stream.opener.open(confirm, &mut nothing)? {
            super::Progress::Record { taken: CONFIRM_OCTETS } => Ok(stream),
            _ => Err(StreamError::Cut),
        }
    }
}

fn new_head(prefix: &Prefix, rng: &mut impl CryptoRng) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..PREFIX_OCTETS].copy_from_slice(&prefix.encode(HELLO));
    rng.fill_bytes(&mut head[PREFIX_OCTETS..]);
    head
}

fn decode(hello: &[u8; HELLO_OCTETS], me: Process) -> Result<(&[u8], Prefix), Refusal> {
    let short = Refusal::Truncated { octets: hello.len() };
    let (prefix, _) = hello.split_first_chunk().ok_or(short)?;
    let prefix = Prefix::decode(prefix, HELLO)?;
    if (Process { node: prefix.node, boot: prefix.boot }) == me {
        return Err(Refusal::Own);
    }
    Ok((&hello[..HEAD], prefix))
}

/// The tag over `aad` alone. The cipher's key is derived of what it protects, salts included, so it is used once.
fn tag(cipher: &Cipher, aad: &[u8]) -> Vec<u8> {
    let mut tag = Vec::with_capacity(TAG_OCTETS);
    cipher.seal(0, aad, &mut tag, 0);
    tag
}

fn with_tag(cipher: &Cipher, head: [u8; HEAD]) -> [u8; HELLO_OCTETS] {
    let mut hello = head.to_vec();
    hello.extend_from_slice(&tag(cipher, &head));
    hello.try_into().unwrap_or_else(|_| unreachable!("a head and a tag are a hello"))
}

fn check_tag(cipher: &Cipher, aad: &[u8], hello: &[u8; HELLO_OCTETS]) -> Result<(), Refusal> {
    cipher.open(0, aad, &hello[HEAD..]).map(|_| ()).ok_or(Refusal::BadTag)
}
