//! What holds of the data path for any traffic, checked with workers in memory.
//!
//! | module | property |
//! |---|---|
//! | `ledger` | every frame is accounted for, whatever comes from either side |
//! | `end_to_end` | what a port sends arrives at the port of another node as it was |
//! | `order` | no flow is reordered |
//! | `bounds` | no table grows beyond its limits |

#[path = "property/bounds.rs"]
mod bounds;
#[path = "property/end_to_end.rs"]
mod end_to_end;
#[path = "property/ledger.rs"]
mod ledger;
#[path = "property/order.rs"]
mod order;
#[path = "property/traffic.rs"]
mod traffic;
