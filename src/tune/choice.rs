//! Which settings of a front are named: the recommended one, the next cheaper, the next safer.

use super::point::{Asked, Point};
use super::sensitivity::Spare;
use crate::scenario::question::Question;

/// The one that is farthest from what breaks it, of those that are not `refuted`; of equal ones that whose
/// smallest margin is the largest, and of these the first. An index in `front`.
#[must_use]
pub fn recommended(
    front: &[Point],
    refuted: &[usize],
    question: &Question,
    asked: &[Asked],
) -> Option<usize> {
    let mut order: Vec<usize> = (0..front.len()).filter(|index| !refuted.contains(index)).collect();
    order.sort_by(|a, b| front[*b].smallest_margin().total_cmp(&front[*a].smallest_margin()));
    let mut best: Option<(usize, f64)> = None;
    for index in order {
        let Some(pipeline) = front[index].pipeline(question) else { continue };
        let spare = Spare { pipeline: &pipeline, question, asked };
        // Most are not worth more than this look.
        if best.is_some_and(|(_, most)| !spare.holds_at(most)) {
            continue;
        }
        let least = spare.least();
        if best.is_none_or(|(_, most)| least > most) {
            best = Some((index, least));
        }
    }
    best.map(|(index, _)| index)
}

/// Of those with the next lower load the one with the most to spare.
#[must_use]
pub fn next_cheaper(front: &[Point], than: usize) -> Option<usize> {
    let load = |index: usize| front[index].figures.beats_per_second;
    let margin = |index: usize| front[index].smallest_margin();
    let cheaper = (0..front.len()).filter(|index| load(*index) < load(than));
    cheaper.max_by(|a, b| load(*a).total_cmp(&load(*b)).then(margin(*a).total_cmp(&margin(*b))))
}

/// At no more load the fastest with fewer mistakes.
#[must_use]
pub fn next_safer(front: &[Point], than: usize) -> Option<usize> {
    let cost = |index: usize| front[index].cost();
    let than = cost(than);
    let safer = (0..front.len()).filter(|index| {
        let cost = cost(*index);
        cost.beats_per_second <= than.beats_per_second && cost.mistakes_per_day < than.mistakes_per_day
    });
    safer.min_by(|a, b| cost(*a).detection_s.total_cmp(&cost(*b).detection_s))
}
