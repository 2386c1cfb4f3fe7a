//! Rows with a vector each that are read once, and of which some are kept.

use pgnear_values::ValueError;

/// Reads rows.
pub trait Rows {
    type Keeper: Keeper;

    /// Reads up to `most` more rows, and hands each one's vector to `sink`, `None` for NULL, with a way to
    /// keep the row. How many were read: none at the end.
    ///
    /// # Errors
    /// Those of `sink`; PostgreSQL's own are raised.
    fn fetch(
        &mut self,
        most: usize,
        sink: &mut Sink<'_, Self::Keeper>,
    ) -> Result<usize, ValueError>;

    /// What keeps rows of this kind.
    fn keeper(&self) -> Self::Keeper;
}

/// Takes a row: the payload of its vector, and a function that keeps it.
pub type Sink<'s, K> = dyn FnMut(Option<&[u8]>, &mut dyn FnMut() -> <K as Keeper>::Kept) -> Result<(), ValueError>
    + 's;

/// Frees what was kept.
pub trait Keeper: Copy {
    /// What is kept of a row.
    type Kept: Copy;

    fn forget(self, kept: Self::Kept);
}
