//! `weft reload`: the daemon reads its configuration again.

use super::{Global, Outcome, change};
use crate::control::protocol::Request;

pub(super) fn run(global: &Global) -> Outcome {
    change(global, &Request::Reload)
}
