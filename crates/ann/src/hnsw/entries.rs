//! Entry points: a random sample of nodes in groups around leaders, in place of the upper levels of
//! HNSW. A search scores all leaders, then the members of the nearest groups, and starts from the
//! nearest of these.

use super::beam::Item;
use super::layout::Layout;
use super::lists::Lists;
use super::meta::Meta;
use super::space::Scorer;
use crate::alloc;
use crate::error::Error;

/// Most entry points.
pub(super) const MOST_MEMBERS: u32 = 4096;
/// Below so many nodes there is no table: a search scores all of them.
pub(super) const LEAST_NODES: u32 = 512;
/// Nodes for each entry point, while there are few.
const NODES_EACH: u64 = 24;
/// Most bytes of all entry points: each scan reads an eighth of them.
const MOST_BYTES: u64 = 4 << 20;
/// Groups looked into.
pub(super) const GROUPS: usize = 6;
/// Nodes that a search starts from.
pub(super) const STARTS: usize = 3;

/// Entry points for so many nodes.
pub(super) fn count(layout: &Layout, nodes: u64) -> u64 {
    let most = u64::from(MOST_MEMBERS).min(MOST_BYTES / layout.entry as u64);
    (nodes / NODES_EACH).clamp(1, most.max(1)).min(nodes)
}

/// Entry points in groups.
#[derive(Default)]
pub(super) struct Groups {
    leaders: Vec<u32>,
    /// Leaders are members too.
    members: Lists,
}

impl Groups {
    /// Groups a random sample: its first nodes are the leaders.
    pub fn new<'b>(
        meta: &Meta,
        sample: &[u32],
        blob: impl Fn(u32) -> &'b [u8],
    ) -> Result<Groups, Error> {
        let leaders = alloc::copied(&sample[..leaders_of(sample.len())])?;
        let mut scorer = Scorer::new(meta)?;
        let mut nearest: Vec<(usize, u32)> = alloc::with_capacity(sample.len())?;
        let mut best = alloc::filled((f32::INFINITY, 0), sample.len())?;
        for (group, leader) in leaders.iter().enumerate() {
            scorer.set_blob(blob(*leader));
            for (node, best) in sample.iter().zip(&mut best) {
                let score = scorer.score(blob(*node));
                if score < best.0 {
                    *best = (score, group);
                }
            }
        }
        nearest.extend(best.iter().zip(sample).map(|(best, node)| (best.1, *node)));
        nearest.sort_unstable();
        Ok(Groups {
            members: Lists::new(leaders.len(), nearest.iter().copied())?,
            leaders,
        })
    }

    pub fn members(&self) -> &[u32] {
        self.members.nodes()
    }

    /// The leaders, each with the numbers of its first member and of the one behind its last.
    pub fn leaders(&self) -> impl ExactSizeIterator<Item = (u32, u32, u32)> {
        let leaders = self.leaders.iter().zip(self.members.ranges());
        leaders.map(|(leader, (first, end))| (*leader, first, end))
    }

    /// Where a search starts.
    pub fn enter(&self, mut score: impl FnMut(u32) -> f32) -> Nearest<STARTS> {
        let mut groups = Nearest::<GROUPS>::default();
        for (group, leader) in self.leaders.iter().enumerate() {
            groups.offer(Item::new(score(*leader), group as u32));
        }
        let mut nearest = Nearest::default();
        for group in groups {
            for member in self.members.of(group.node() as usize) {
                nearest.offer(Item::new(score(*member), *member));
            }
        }
        nearest
    }
}

/// Leaders of so many entry points.
fn leaders_of(entries: usize) -> usize {
    entries.isqrt().max(1).min(entries)
}

/// The nearest `N` items offered, in order.
pub(super) struct Nearest<const N: usize> {
    items: [Item; N],
    len: usize,
    taken: usize,
}

impl<const N: usize> Default for Nearest<N> {
    fn default() -> Self {
        Nearest {
            items: [Item::new(0.0, 0); N],
            len: 0,
            taken: 0,
        }
    }
}

impl<const N: usize> Nearest<N> {
    /// The score below which one is taken.
    pub fn farthest(&self) -> f32 {
        if self.len == N {
            self.items[N - 1].score()
        } else {
            f32::INFINITY
        }
    }

    #[inline(always)]
    pub fn offer(&mut self, item: Item) {
        if self.len == N {
            if self.items[N - 1] <= item {
                return;
            }
        } else {
            self.len += 1;
        }
        let mut at = self.len - 1;
        while at > 0 && item < self.items[at - 1] {
            self.items[at] = self.items[at - 1];
            at -= 1;
        }
        self.items[at] = item;
    }
}

impl<const N: usize> Iterator for Nearest<N> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let item = self.items[..self.len].get(self.taken).copied();
        self.taken += 1;
        item
    }
}
