//! The lock order of `README.md`, as a check that the memory twin runs at every lock.

use crate::memory::Held;
use crate::page::{Kind, Page, PageView};

/// Data pages in the order of their chain, then the directory, then freshly extended pages; meta
/// and centroid pages only alone.
pub fn lock_order(held: &[Held<'_>], wanted: &Held<'_>) -> Result<(), String> {
    for page in held {
        let (held_rank, wanted_rank) = (rank(page), rank(wanted));
        if held_rank > wanted_rank {
            return Err(format!(
                "rank {wanted_rank} after block {} of rank {held_rank}",
                page.block
            ));
        }
        if held_rank == ALONE || wanted_rank == ALONE || (held_rank, wanted_rank) == (2, 2) {
            return Err(format!("not together with block {}", page.block));
        }
    }
    // Only vacuum locks two data pages: one, and the next of its chain.
    if rank(wanted) == DATA {
        let reached = (held.iter().filter_map(open)).any(|view| view.next().block == wanted.block);
        if !held.is_empty() && !reached {
            return Err("no held page leads to it".to_owned());
        }
    }
    Ok(())
}

const DATA: u8 = 1;
const ALONE: u8 = 4;

fn rank(page: &Held<'_>) -> u8 {
    match open(page).map(|view| view.kind()) {
        _ if page.fresh => 3,
        Some(Kind::Directory) => 2,
        Some(Kind::Meta | Kind::Centroid) => ALONE,
        _ => DATA,
    }
}

fn open<'a>(page: &'a Held<'_>) -> Option<PageView<'a>> {
    match Page::open(page.block, page.bytes) {
        Ok(Page::Written(view)) => Some(view),
        _ => None,
    }
}
