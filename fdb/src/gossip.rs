//! What nodes say to each other so that they find each other.

pub mod identity;
