//! Simulations of many seeds, spread over the cores.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `simulate` gives for each of `seeds`, in their order, with at most `threads` threads at work. The
/// result does not depend on the number of threads if `simulate` depends on the seed alone.
///
/// # Panics
/// If `simulate` does.
pub fn over_seeds<T: Send>(
    seeds: &[u64],
    threads: NonZeroUsize,
    simulate: impl Fn(u64) -> T + Sync,
) -> Vec<T> {
    let threads = threads.get().min(seeds.len());
    if threads <= 1 {
        return seeds.iter().map(|seed| simulate(*seed)).collect();
    }
    // The next seed goes to whoever is free: one may take longer than another.
    let next = AtomicUsize::new(0);
    let work = || {
        let taken = std::iter::from_fn(|| {
            let index = next.fetch_add(1, Ordering::Relaxed);
            seeds.get(index).map(|seed| (index, *seed))
        });
        taken.map(|(index, seed)| (index, simulate(seed))).collect::<Vec<_>>()
    };
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_seeds_whatever_the_threads() {
        let seeds: Vec<u64> = (0..97).rev().collect();
        let one = over_seeds(&seeds, NonZeroUsize::MIN, |seed| seed * seed);
        assert_eq!(one, seeds.iter().map(|seed| seed * seed).collect::<Vec<_>>());
        for threads in [2, 3, 200] {
            let threads = NonZeroUsize::new(threads).unwrap();
            assert_eq!(over_seeds(&seeds, threads, |seed| seed * seed), one);
        }
        assert!(over_seeds(&[], NonZeroUsize::MIN, |seed| seed).is_empty());
    }
}
