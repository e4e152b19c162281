//! The commands, one file each. Nothing else but the console reporter writes to the terminal.

pub mod check;
pub mod schema;
