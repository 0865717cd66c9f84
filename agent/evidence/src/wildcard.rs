//! Matching a text with wildcards as a whole, in time bounded by the text times the pattern: both can be hostile.

/// A step of a pattern over texts of `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// This one.
    Exactly(T),
    /// Any one that does not separate.
    One,
    /// Any number of those that do not separate.
    Within,
    /// Any number of whatever there is.
    Across,
}

/// Whether the whole text matches. `separates` says of what [`Step::One`] and [`Step::Within`] do not stand for.
pub(crate) fn matches<T: Copy + PartialEq>(
    steps: &[Step<T>],
    text: impl IntoIterator<Item = T>,
    separates: impl Fn(T) -> bool,
) -> bool {
    // Every step that could come next, after the text so far.
    let mut next = vec![false; steps.len().saturating_add(1)];
    let mut after = next.clone();
    enter(steps, &mut next, 0);
    for item in text {
        after.fill(false);
        let reached = steps.iter().enumerate().zip(&next).filter(|(_, reached)| **reached);
        for ((position, step), _) in reached {
            match step {
                Step::Exactly(wanted) if *wanted == item => enter(steps, &mut after, position + 1),
                Step::One if !separates(item) => enter(steps, &mut after, position + 1),
                Step::Within if !separates(item) => enter(steps, &mut after, position),
                Step::Across => enter(steps, &mut after, position),
                _ => {}
            }
        }
        if !after.contains(&true) {
            return false;
        }
        std::mem::swap(&mut next, &mut after);
    }
    next.last() == Some(&true)
}

/// Marks a step, and those behind it that can be had for nothing; a marked one has had those behind it marked.
fn enter<T>(steps: &[Step<T>], marks: &mut [bool], position: usize) {
    for (position, mark) in marks.iter_mut().enumerate().skip(position) {
        let free = matches!(steps.get(position), Some(Step::Within | Step::Across));
        if std::mem::replace(mark, true) || !free {
            return;
        }
    }
}
