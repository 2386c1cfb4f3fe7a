//! The nearest nodes met so far, and the set of nodes met.

use crate::alloc;
use crate::error::Error;

/// A node met, its score, and whether its neighbours have been looked at, in one number whose order
/// is that of scores and then of nodes.
///
/// ```text
/// 63                       32 31                 1 0
/// +--------------------------+-------------------+----------+
/// | score, as sortable bits  | node              | expanded |
/// +--------------------------+-------------------+----------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item(u64);

impl Item {
    /// `node` is below 2^31, `score` is not NaN.
    #[inline(always)]
    pub fn new(score: f32, node: u32) -> Item {
        let bits = score.to_bits();
        let sortable = bits ^ (((bits as i32 >> 31) as u32) | 1 << 31);
        Item(u64::from(sortable) << 32 | u64::from(node) << 1)
    }

    #[inline(always)]
    pub fn node(self) -> u32 {
        self.0 as u32 >> 1
    }

    pub fn score(self) -> f32 {
        let sortable = (self.0 >> 32) as u32;
        let mask = ((!sortable as i32 >> 31) as u32) | 1 << 31;
        f32::from_bits(sortable ^ mask)
    }

    #[inline(always)]
    pub fn is_expanded(self) -> bool {
        self.0 & 1 == 1
    }

    /// The same, with nothing left to look at.
    pub fn expanded(self) -> Item {
        Item(self.0 | 1)
    }
}

/// The nearest items offered, in order: at most `width` and a margin.
#[derive(Default)]
pub(super) struct Beam {
    items: Vec<Item>,
    width: usize,
    /// The first of the margin, which is kept but not expanded.
    edge: usize,
    /// No item before this is to be expanded.
    next: usize,
}

impl Beam {
    /// Forgets everything; makes room for `width` items, and `margin` more.
    pub fn reset(&mut self, width: usize, margin: usize) -> Result<(), Error> {
        self.items.clear();
        self.next = 0;
        self.edge = width.max(1);
        self.width = self.edge + margin;
        alloc::reserve(&mut self.items, self.width)
    }

    /// Makes room for one more item.
    pub fn widen(&mut self) -> Result<(), Error> {
        self.width += 1;
        self.edge += 1;
        let more = self.width - self.items.len();
        alloc::reserve(&mut self.items, more)
    }

    /// Adds an item unless it is farther than all of a full beam. Returns what has no place: the
    /// item, or the one it pushed out.
    #[inline(always)]
    pub fn offer(&mut self, item: Item) -> Option<Item> {
        let mut out = None;
        if self.items.len() == self.width {
            if self.items.last().is_some_and(|last| *last <= item) {
                return Some(item);
            }
            out = self.items.pop();
        }
        let at = self.items.partition_point(|other| *other < item);
        self.items.insert(at, item);
        if !item.is_expanded() {
            self.next = self.next.min(at);
        }
        out
    }

    /// The nearest node not expanded yet, which counts as expanded from now on.
    #[inline(always)]
    pub fn expand(&mut self) -> Option<u32> {
        while self.next < self.edge
            && let Some(item) = self.items.get_mut(self.next)
        {
            self.next += 1;
            if !item.is_expanded() {
                *item = item.expanded();
                return Some(item.node());
            }
        }
        None
    }

    /// The node that [`Beam::expand`] would return now.
    #[inline(always)]
    pub fn peek(&self) -> Option<u32> {
        let end = self.edge.min(self.items.len());
        let rest = self.items.get(self.next..end)?;
        rest.iter()
            .find(|item| !item.is_expanded())
            .map(|item| item.node())
    }

    /// All items, nearest first.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    pub fn is_full(&self) -> bool {
        self.items.len() == self.width
    }
}

/// A growing set of nodes: open addressing, at most half full.
#[derive(Default)]
pub(super) struct Visited {
    /// Node plus one; 0 is empty. A power of two long.
    slots: Vec<u32>,
    len: usize,
}

/// Slots of the first table, at least and at most.
const FIRST_SLOTS: (usize, usize) = (1 << 10, 1 << 16);

impl Visited {
    /// With room for about so many nodes.
    pub fn with_room(nodes: usize) -> Result<Visited, Error> {
        let slots = (nodes.saturating_mul(2)).clamp(FIRST_SLOTS.0, FIRST_SLOTS.1);
        Ok(Visited {
            slots: alloc::filled(0, slots.next_power_of_two())?,
            len: 0,
        })
    }

    /// Forgets all nodes, and keeps the memory.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.len = 0;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a node; `false` if it was there.
    #[inline(always)]
    pub fn insert(&mut self, node: u32) -> Result<bool, Error> {
        if self.len * 2 >= self.slots.len() {
            self.grow()?;
        }
        let mask = self.slots.len() - 1;
        let mut at = Visited::hash(node) & mask;
        loop {
            match self.slots[at] {
                0 => {
                    self.slots[at] = node + 1;
                    self.len += 1;
                    return Ok(true);
                }
                other if other == node + 1 => return Ok(false),
                _ => at = (at + 1) & mask,
            }
        }
    }

    #[inline(always)]
    fn hash(node: u32) -> usize {
        (node.wrapping_mul(0x9E37_79B1) >> 7) as usize
    }

    #[cold]
    fn grow(&mut self) -> Result<(), Error> {
        let length = (self.slots.len() * 2).max(FIRST_SLOTS.0);
        let old = std::mem::replace(&mut self.slots, alloc::filled(0, length)?);
        for node in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = Visited::hash(node - 1) & (length - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (length - 1);
            }
            self.slots[at] = node;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_sort_by_score_then_node() {
        let scores = [
            f32::NEG_INFINITY,
            -2.5,
            -0.0,
            0.0,
            1e-45,
            3.0,
            f32::INFINITY,
        ];
        for pair in scores.windows(2) {
            assert!(Item::new(pair[0], 9) < Item::new(pair[1], 3), "{pair:?}");
        }
        assert!(Item::new(1.0, 3) < Item::new(1.0, 4));
        for score in scores {
            let item = Item::new(score, (1 << 31) - 1);
            assert_eq!(item.score().to_bits(), score.to_bits());
            assert_eq!(item.expanded().node(), (1 << 31) - 1);
        }
    }

    #[test]
    fn a_beam_keeps_the_nearest_and_expands_each_once() {
        let mut beam = Beam::default();
        beam.reset(3, 0).unwrap();
        for (score, node) in [(5.0, 5), (1.0, 1), (3.0, 3)] {
            assert_eq!(beam.offer(Item::new(score, node)), None);
        }
        assert!(beam.is_full());
        assert_eq!((beam.peek(), beam.expand()), (Some(1), Some(1)));
        assert_eq!(beam.expand(), Some(3));
        // Nearer than what was expanded last: next in turn.
        let out = beam.offer(Item::new(2.0, 2)).unwrap();
        assert_eq!(out.node(), 5);
        assert_eq!(beam.offer(Item::new(9.0, 9)), Some(Item::new(9.0, 9)));
        assert_eq!(
            (beam.expand(), beam.expand(), beam.peek()),
            (Some(2), None, None)
        );
        let nodes: Vec<u32> = beam.items().iter().map(|item| item.node()).collect();
        assert_eq!(nodes, [1, 2, 3]);
    }

    #[test]
    fn a_set_of_nodes_grows() {
        let mut visited = Visited::default();
        for node in (0..20_000).map(|n| n * 7919 % 20_011) {
            assert!(visited.insert(node).unwrap());
            assert!(!visited.insert(node).unwrap());
        }
        assert_eq!(visited.len(), 20_000);
        visited.clear();
        assert!(visited.insert(5).unwrap() && visited.len() == 1);
    }
}
