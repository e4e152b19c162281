//! Pipelines that tests of other modules use too.

mod figures;
mod property;
mod simulation;

use crate::time::Span;
use crate::timing::{Age, Asked, Beat, Checker, Expiry, Gate, Guard, Pipeline, Recovery, Subject, Sweep};

pub(crate) fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

fn s0(interval: u64, ttl: u64, threshold: u64, retries: u32) -> Pipeline {
    Pipeline {
        beat: Beat::every(secs(interval)),
        expiry: Expiry::Both { ttl: secs(ttl), age: Age::across(secs(threshold)) },
        checker: Checker::OnDemand(Asked {
            every: Span::ZERO,
            retries,
            backoff: Span::from_millis(500),
            ready_wait: secs(3),
        }),
        recovery: Recovery::never(secs(1)),
        subject: Subject::Fleet,
    }
}

pub(crate) fn s0_new() -> Pipeline {
    s0(15, 30, 45, 2)
}

pub(crate) fn s0_old() -> Pipeline {
    s0(10, 10, 15, 0)
}

pub(crate) fn s3() -> Pipeline {
    Pipeline {
        beat: Beat::every(secs(15)),
        expiry: Expiry::Ttl(secs(30)),
        checker: Checker::Sweep(Sweep {
            period: secs(30),
            two_phase: true,
            guard: Guard::Paced(secs(30)),
            gate: Gate::Open,
        }),
        recovery: Recovery { max_stalls: Some(1), ..Recovery::at_once(secs(5)) },
        subject: Subject::Holder,
    }
}
