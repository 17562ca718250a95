//! Who is where.
#![forbid(unsafe_code)]
