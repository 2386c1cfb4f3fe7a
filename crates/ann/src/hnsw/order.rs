//! The lock order of `README.md`, as a check that the memory twin runs at every lock.

use crate::memory::Held;
use crate::page::{Kind, Page};

/// The state page, then record pages, then vector pages, each by their blocks; meta page and pages of
/// entry points alone.
pub fn lock_order(held: &[Held<'_>], wanted: &Held<'_>) -> Result<(), String> {
    let Some(wanted_rank) = rank(wanted) else {
        return Ok(());
    };
    for page in held {
        let Some(held_rank) = rank(page) else {
            continue;
        };
        if held_rank == ALONE || wanted_rank == ALONE {
            return Err(format!("not together with block {}", page.block));
        }
        if (held_rank, page.block) >= (wanted_rank, wanted.block) {
            return Err(format!("comes before block {}", page.block));
        }
    }
    Ok(())
}

const ALONE: u8 = 9;

/// `None` for a page that is locked for the first time in its life: only by whoever holds the state
/// page or a record page, in the order of what it becomes.
fn rank(page: &Held<'_>) -> Option<u8> {
    let Ok(Page::Written(view)) = Page::open(page.block, page.bytes) else {
        return None;
    };
    Some(match view.kind() {
        Kind::State => 1,
        Kind::Record => 2,
        Kind::Vector => 3,
        _ => ALONE,
    })
}
