//! How nodes tell each other who is there: identities, and the seal around every datagram and stream.

pub mod identity;
pub mod seal;
