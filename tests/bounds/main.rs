//! The model's bounds on the whole simulator: the reference fleet's own machines, the conductor and
//! the checks, in virtual time.

mod draft;
mod excuse;
mod generate;
mod random;
mod tally;
mod tight;
mod virtual_time;
