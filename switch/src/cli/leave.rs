//! `weft leave`: this node says goodbye to the others.

use super::{Global, Outcome, change};
use crate::control::protocol::Request;

pub(super) fn run(global: &Global) -> Outcome {
    change(global, &Request::Leave)
}
