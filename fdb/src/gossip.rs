//! How nodes find each other and speak: who they are, who is there, and the seal around every datagram and stream.
//!
//! [`engine`] puts the parts together, [`crate::replica`] included; [`frame`] cuts a stream into messages.

/// What values are counted under: `name`, and `NAMES` of the same list, so that none is missing there. Variants that are named
/// by what is in them stand behind `else` and are not in the list.
macro_rules! names {
    ({ $($pattern:pat => $name:literal,)* } $(else { $outer:pat => $inner:expr })?) => {
        /// All that [`name`](Self::name) has of its own.
        pub const NAMES: &'static [&'static str] = &[$($name,)*];

        /// What it is counted under.
        #[must_use]
        pub const fn name(&self) -> &'static str {
            match self {
                $($pattern => $name,)*
                $($outer => $inner,)?
            }
        }
    };
}

pub mod engine;
pub mod frame;
pub mod identity;
mod limits;
pub mod members;
pub mod seal;
