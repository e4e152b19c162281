//! Every injection on real processes, each with its proof, or with the reason why there is none.

mod clocks;
mod fake;
mod firer;
mod pause;
mod process;
mod rig;
mod store;
