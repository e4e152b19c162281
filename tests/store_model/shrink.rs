//! From a long sequence that shows something to a short one that still does.

/// Removes runs of operations, the long ones first, as long as one of the shorter sequences still
/// `shows` it: asked with all of them at once, it names one.
pub async fn shrink<O: Clone>(
    mut ops: Vec<O>,
    mut shows: impl AsyncFnMut(&[Vec<O>]) -> Option<usize>,
) -> Vec<O> {
    loop {
        let mut candidates = shorter(&ops);
        match shows(&candidates).await {
            Some(index) => ops = candidates.swap_remove(index),
            None => return ops,
        }
    }
}

fn shorter<O: Clone>(ops: &[O]) -> Vec<Vec<O>> {
    let mut found = Vec::new();
    let mut run = ops.len() / 2;
    while run > 0 {
        for start in (0..ops.len()).step_by(run) {
            let end = (start + run).min(ops.len());
            found.push([&ops[..start], &ops[end..]].concat());
        }
        run /= 2;
    }
    found
}

#[tokio::test]
async fn what_matters_is_what_stays() {
    let needed = |ops: &Vec<u32>| ops.contains(&7) && ops.contains(&23);
    let left =
        shrink((0..40).collect(), async |candidates: &[Vec<u32>]| candidates.iter().position(needed)).await;
    assert_eq!(left, [7, 23]);
}
