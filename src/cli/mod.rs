//! The commands, one file each.

pub mod clean;
pub mod doctor;
