//! The wire taps: what they hear of conversations with Redis and Postgres, and that they change nothing.

mod allocation;
mod fuzz;
mod listener;
mod postgres;
mod redis;
