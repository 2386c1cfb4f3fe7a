//! Which of the nodes near a node become its neighbours.
//!
//! The heuristic of Malkov and Yashunin (*HNSW*, 2016, algorithm 4): from near to far, a candidate
//! is taken unless one already taken is nearer to it than the node is, so that neighbours lie in
//! different directions. What is passed over fills the rest of the list, nearest first: longer
//! lists cost no more page reads, and searches of one width find more.

use super::beam::Item;

/// Scores between candidates.
pub(super) trait Pairs {
    /// From now on scores are those to candidate number `at`.
    fn take(&mut self, at: usize);
    /// The score of candidate number `at`.
    fn score(&self, at: usize) -> f32;
}

/// Scratch of [`select`].
#[derive(Default)]
pub(super) struct Selection {
    /// Numbers of candidates chosen: first those in different directions, then the filling.
    pub chosen: Vec<u32>,
    /// How many of `chosen` lie in different directions.
    pub diverse: usize,
    passed_over: Vec<bool>,
}

/// Chooses at most `limit` of `candidates`, which come nearest first, at most `diverse` of them in
/// different directions. Copies of the node (scores up to `copies`) hide nobody, so that a crowd of
/// copies does not cut itself off from the rest; they get at most half of the places while there
/// are others.
pub(super) fn select(
    candidates: &[Item],
    copies: f32,
    limit: usize,
    diverse: usize,
    pairs: &mut impl Pairs,
    selection: &mut Selection,
) {
    let Selection {
        chosen,
        passed_over,
        ..
    } = selection;
    chosen.clear();
    passed_over.clear();
    passed_over.resize(candidates.len(), false);
    let mut copies_left = (limit / 2).max(1);
    for at in 0..candidates.len() {
        if chosen.len() == diverse.min(limit) {
            break;
        }
        if passed_over[at] {
            continue;
        }
        if candidates[at].score() <= copies {
            if copies_left > 0 {
                copies_left -= 1;
                chosen.push(at as u32);
            } else {
                passed_over[at] = true;
            }
            continue;
        }
        chosen.push(at as u32);
        pairs.take(at);
        for other in at + 1..candidates.len() {
            if !passed_over[other] && pairs.score(other) < candidates[other].score() {
                passed_over[other] = true;
            }
        }
    }
    selection.diverse = selection.chosen.len();
    // What was neither chosen nor passed over lies behind the last one chosen.
    let last = selection.chosen.last().map_or(0, |at| *at as usize + 1);
    for at in 0..candidates.len() {
        if selection.chosen.len() >= limit {
            break;
        }
        if selection.passed_over[at] || at >= last {
            selection.chosen.push(at as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a line, the node at 0.
    struct Line {
        points: Vec<f32>,
        taken: f32,
    }

    impl Pairs for Line {
        fn take(&mut self, at: usize) {
            self.taken = self.points[at];
        }
        fn score(&self, at: usize) -> f32 {
            (self.points[at] - self.taken).abs()
        }
    }

    fn chosen(points: &[f32], limit: usize, diverse: usize) -> (Vec<f32>, usize) {
        let mut points = points.to_vec();
        points.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let items: Vec<Item> = (points.iter().enumerate())
            .map(|(at, x)| Item::new(x.abs(), at as u32))
            .collect();
        let mut line = Line { points, taken: 0.0 };
        let mut selection = Selection::default();
        select(&items, 0.0, limit, diverse, &mut line, &mut selection);
        let points = selection.chosen.iter().map(|at| line.points[*at as usize]);
        (points.collect(), selection.diverse)
    }

    #[test]
    fn neighbours_lie_in_different_directions_then_near() {
        assert_eq!(
            chosen(&[1.0, 2.0, 3.0, -4.0, -5.0], 4, 4),
            (vec![1.0, -4.0, 2.0, 3.0], 2)
        );
        assert_eq!(chosen(&[1.0, 2.0, -3.0], 2, 1), (vec![1.0, 2.0], 1));
        assert_eq!(chosen(&[], 3, 3), (vec![], 0));
    }

    #[test]
    fn copies_leave_room_for_others_and_fill_what_is_left() {
        let points = [0.0, 0.0, 0.0, 0.0, 0.0, 7.0, -8.0];
        let (chosen_4, _) = chosen(&points, 4, 4);
        assert_eq!(chosen_4, [0.0, 0.0, 7.0, -8.0]);
        let (chosen_6, _) = chosen(&points, 6, 6);
        assert_eq!(chosen_6.iter().filter(|x| **x == 0.0).count(), 4);
        assert_eq!(chosen(&[0.0; 9], 4, 4).0, [0.0; 4]);
    }
}
