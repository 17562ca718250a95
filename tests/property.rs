//! What holds of the data path for any traffic, checked with workers in memory.
//!
//! | module | property |
//! |---|---|
//! | `ledger` | every frame is accounted for, whatever comes from either side |
//! | `end_to_end` | what a port sends arrives at the port of another node as it was |
//! | `order` | no flow is reordered |
//! | `too_big` | what is larger than its path leaves in pieces that are the same together, or not at all |
//! | `bounds` | no table grows beyond its limits |

#[path = "property/bounds.rs"]
mod bounds;
#[path = "property/end_to_end.rs"]
mod end_to_end;
#[path = "property/ledger.rs"]
mod ledger;
#[path = "property/order.rs"]
mod order;
#[path = "property/too_big.rs"]
mod too_big;
#[path = "property/traffic.rs"]
mod traffic;
