//! Virtual time: what the model and the real fleet are compared with.

pub mod detectors;
