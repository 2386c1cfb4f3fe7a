//! The table of entry points on pages: leaders first, then members, group by group.
//!
//! ```text
//! 0        4              8            12
//! +--------+--------------+------------+----------------------+
//! | node   | first member | member end | blob, padded to 4    |
//! +--------+--------------+------------+----------------------+
//! ```
//! Members have no range. A page's generation is the version of its table: whoever reads a table
//! that has been replaced twice meanwhile, so that its pages were written again, sees that.

use std::ops::Range;

use super::beam::Item;
use super::entries::{GROUPS, Groups, Nearest, STARTS};
use super::layout::Layout;
use super::space::Scorer;
use super::state::Table;
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, Page, PageMut, PageView, put_u32, u32_at};
use crate::store::Store;

const HEAD: usize = 12;

/// Formats page `number` of the table of `groups`.
pub(super) fn format_page<'b>(
    layout: &Layout,
    table: &Table,
    groups: &Groups,
    number: u32,
    blob: impl Fn(u32) -> &'b [u8],
    bytes: &mut [u8],
) {
    let mut page = PageMut::init(bytes, Kind::Entry, NO_OWNER, table.version);
    let per_page = layout.entries_per_page as usize;
    let leader_pages = table.leader_pages(layout);
    let mut count = 0;
    let mut write = |node: u32, start: u32, end: u32| {
        let entry = &mut page.body_mut()[count * layout.entry..][..layout.entry];
        put_u32(entry, 0, node);
        put_u32(entry, 4, start);
        put_u32(entry, 8, end);
        entry[HEAD..HEAD + layout.blob].copy_from_slice(blob(node));
        count += 1;
    };
    if number < leader_pages {
        let leaders = groups.leaders().skip(number as usize * per_page);
        leaders
            .take(per_page)
            .for_each(|(node, start, end)| write(node, start, end));
    } else {
        let skip = (number - leader_pages) as usize * per_page;
        let members = groups.members().iter().skip(skip);
        members.take(per_page).for_each(|node| write(*node, 0, 0));
    }
    page.set_used(count * layout.entry);
}

/// Where a search starts, by the table. `None` where its pages were written again meanwhile.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::OutOfMemory`], and those of the store.
pub(super) fn enter(
    store: &impl Store,
    layout: &Layout,
    table: &Table,
    scorer: &Scorer,
) -> Result<Option<Nearest<STARTS>>, Error> {
    let mut ranges = alloc::with_capacity(table.leaders as usize)?;
    let mut groups = Nearest::<GROUPS>::default();
    let went_on = for_each_leader(store, layout, table, |entry, range| {
        let group = ranges.len() as u32;
        groups.offer(Item::new(scorer.score(blob(layout, entry)), group));
        ranges.push(range); // there is room for all
    })?;
    if !went_on {
        return Ok(None);
    }
    let mut nearest = Nearest::default();
    let first_page = table.leader_pages(layout);
    for group in groups {
        let range = ranges[group.node() as usize].clone();
        let mut bad = None;
        let went_on = for_each(store, layout, table, first_page, range, |entry| {
            let node = u32_at(entry, 0);
            if node >= layout.max_nodes() {
                bad = Some(node);
            } else {
                nearest.offer(Item::new(scorer.score(blob(layout, entry)), node));
            }
        })?;
        if let Some(node) = bad {
            let what = format!("entry point {node} is out of range");
            return Err(Error::corrupt(table.first_block, what));
        }
        if !went_on {
            return Ok(None);
        }
    }
    Ok(Some(nearest))
}

fn blob<'e>(layout: &Layout, entry: &'e [u8]) -> &'e [u8] {
    &entry[HEAD..HEAD + layout.blob]
}

/// Visits the leaders, each with the numbers of its members. `false` where a page was written again.
pub(super) fn for_each_leader(
    store: &impl Store,
    layout: &Layout,
    table: &Table,
    mut visit: impl FnMut(&[u8], Range<u32>),
) -> Result<bool, Error> {
    // One group follows the other, and every member is in one.
    let (mut next, mut sound) = (0, true);
    let went_on = for_each(store, layout, table, 0, 0..table.leaders, |entry| {
        let (start, end) = (u32_at(entry, 4), u32_at(entry, 8));
        sound &= start == next && (start..=table.members).contains(&end);
        next = end;
        visit(entry, start..end);
    })?;
    if went_on && !(sound && next == table.members) {
        let what = "groups of entry points do not follow each other";
        return Err(Error::corrupt(table.first_block, what));
    }
    Ok(went_on)
}

/// Visits entries by their numbers behind page `first_page` of the table. `false` where a page was
/// written again.
pub(super) fn for_each(
    store: &impl Store,
    layout: &Layout,
    table: &Table,
    first_page: u32,
    entries: Range<u32>,
    mut visit: impl FnMut(&[u8]),
) -> Result<bool, Error> {
    let per_page = layout.entries_per_page;
    let mut at = entries.start;
    while at < entries.end {
        let number = at / per_page;
        let block = table.first_block + first_page + number;
        let page = store.read(block)?;
        // Of a table given up, whose groups are for nodes now.
        if let Page::Written(view) = Page::open(block, &page)?
            && matches!(view.kind(), Kind::Record | Kind::Vector)
        {
            return Ok(false);
        }
        let view = PageView::open_as(block, &page, Kind::Entry, NO_OWNER)?;
        if view.generation() != table.version {
            return Ok(false);
        }
        let end = entries.end.min((number + 1) * per_page);
        let first = (at - number * per_page) as usize * layout.entry;
        let bytes = first + (end - at) as usize * layout.entry;
        let Some(run) = view.used().get(first..bytes) else {
            return Err(Error::corrupt(block, "page of entry points is too short"));
        };
        run.chunks_exact(layout.entry).for_each(&mut visit);
        at = end;
    }
    Ok(true)
}
