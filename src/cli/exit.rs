//! The exit codes, a contract.

use crate::check::Verdict;

pub const PASS: u8 = 0;
pub const FAIL: u8 = 1;
pub const USAGE: u8 = 2;
pub const INCONCLUSIVE: u8 = 3;
pub const ENVIRONMENT: u8 = 4;
pub const INTERRUPTED: u8 = 130;

#[must_use]
pub const fn of(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => PASS,
        Verdict::Fail => FAIL,
        Verdict::Inconclusive => INCONCLUSIVE,
    }
}
