//! Judging synthetic histories.
