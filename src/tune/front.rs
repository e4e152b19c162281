//! The Pareto front: settings than which no other is better in one thing and worse in none.

use std::collections::BTreeMap;

/// What is kept small: worst detection in seconds, mistakes of a worker and day, beats per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub detection_s: f64,
    pub mistakes_per_day: f64,
    pub beats_per_second: f64,
}

/// A float that is no NaN, in its order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Cost {
    const fn in_order(&self) -> [f64; 3] {
        [self.beats_per_second, self.detection_s, self.mistakes_per_day]
    }

    /// Better in one thing at least, and worse in none.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let pairs = || self.in_order().into_iter().zip(other.in_order());
        pairs().all(|(ours, theirs)| ours <= theirs) && pairs().any(|(ours, theirs)| ours < theirs)
    }
}

/// The indices of those that no other dominates, by load, then detection. Of equal ones the first.
///
/// From the lightest load to the heaviest: whatever comes later has no lighter load, so it is on the front
/// exactly if no earlier one is as fast and as seldom wrong. Those that can still dominate form a
/// staircase, the faster the oftener wrong; each step is passed once: n·log n in all.
#[must_use]
pub fn front(costs: &[Cost]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|a, b| {
        let [a, b] = [a, b].map(|index| costs[*index].in_order().map(Ordered));
        a.cmp(&b)
    });
    let mut kept = Vec::new();
    // Mistakes by detection: falling.
    let mut stairs: BTreeMap<Ordered, Ordered> = BTreeMap::new();
    for index in order {
        let cost = &costs[index];
        let (detection, mistakes) = (Ordered(cost.detection_s), Ordered(cost.mistakes_per_day));
        let best_so_fast = stairs.range(..=detection).next_back().map(|(_, mistakes)| *mistakes);
        if best_so_fast.is_some_and(|best| best <= mistakes) {
            continue;
        }
        kept.push(index);
        let passed: Vec<Ordered> = stairs
            .range(detection..)
            .take_while(|(_, seldom)| **seldom >= mistakes)
            .map(|(at, _)| *at)
            .collect();
        for at in passed {
            stairs.remove(&at);
        }
        stairs.insert(detection, mistakes);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(beats_per_second: f64, detection_s: f64, mistakes_per_day: f64) -> Cost {
        Cost { detection_s, mistakes_per_day, beats_per_second }
    }

    #[test]
    fn what_another_beats_is_not_on_the_front() {
        let costs = [
            cost(1.0, 30.0, 0.1),
            cost(1.0, 30.0, 0.2),
            cost(2.0, 30.0, 0.1),
            cost(2.0, 20.0, 0.1),
            cost(2.0, 40.0, 0.01),
        ];
        assert_eq!(front(&costs), [0, 3, 4]);
    }

    #[test]
    fn of_equal_ones_the_first_is_kept() {
        assert_eq!(front(&[cost(1.0, 1.0, 1.0), cost(1.0, 1.0, 1.0)]), [0]);
        assert!(front(&[]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn it_is_what_the_definition_says(
            raw in proptest::collection::vec((0_u8..6, 0_u8..6, 0_u8..6), 0..40)
        ) {
            let costs: Vec<Cost> =
                raw.iter().map(|(a, b, c)| cost(f64::from(*a), f64::from(*b), f64::from(*c))).collect();
            let mut found = front(&costs);
            found.sort_unstable();
            let expected: Vec<usize> = (0..costs.len())
                .filter(|one| {
                    let earlier_twin = costs[..*one].contains(&costs[*one]);
                    !earlier_twin && !costs.iter().any(|other| other.dominates(&costs[*one]))
                })
                .collect();
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
