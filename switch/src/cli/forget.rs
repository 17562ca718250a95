//! `weft forget`: a node that will not come back.

use clap::Args;

use super::{Global, Outcome, change};
use crate::control::protocol::Request;

/// Arguments of `weft forget`.
#[derive(Debug, Args)]
#[command(
    after_help = "A node that is down is hidden, called every second, and shown, in case it comes back. What is \
                  forgotten is not. Forget it on every node that shows it. A live node is refused: it would be back \
                  at once.\n\n\
                  Examples:\n  weft forget node-c\n  weft forget 3f09c2\n\n\
                  Exit codes: 0 forgotten; 1 it is alive, or gossip is off; 2 no node is called so, or several."
)]
pub(super) struct ForgetArgs {
    /// Its name, its id, or what the id of only one node begins with
    node: String,
}

pub(super) fn run(global: &Global, args: ForgetArgs) -> Outcome {
    change(global, &Request::Forget { node: args.node })
}
