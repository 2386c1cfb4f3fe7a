//! Lists of nodes, one for each of some groups, all in one array.

use crate::alloc;
use crate::error::Error;

/// Nodes group by group.
#[derive(Default)]
pub(super) struct Lists {
    /// Where the list of each group begins, and the end.
    starts: Vec<u32>,
    nodes: Vec<u32>,
}

impl Lists {
    /// Of pairs of a group and a node; the nodes of a group keep their order.
    pub fn new(
        groups: usize,
        pairs: impl Iterator<Item = (usize, u32)> + Clone,
    ) -> Result<Lists, Error> {
        let mut starts = alloc::filled(0u32, groups + 1)?;
        for (group, _) in pairs.clone() {
            starts[group + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = alloc::copied(&starts)?;
        let mut nodes = alloc::filled(0u32, starts[groups] as usize)?;
        for (group, node) in pairs {
            let at = &mut next[group];
            nodes[*at as usize] = node;
            *at += 1;
        }
        Ok(Lists { starts, nodes })
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.ranges().len()
    }

    /// The nodes of all groups.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// The nodes of a group.
    pub fn of(&self, group: usize) -> &[u32] {
        &self.nodes[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    /// The place of each group's first node, and of the one behind its last.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.starts.windows(2).map(|range| (range[0], range[1]))
    }
}
