//! Sessions, over sockets: who is let in, what flows, what happens when a side is lost, how they end.

mod audit;
mod door;
mod execute;
mod kit;
mod life;
mod load;

use kit::{Kit, Side, frame, outcome, soon};
