//! The access methods: one `impl IndexAm` each, safe code over `pg` and the pure crates.

mod check;
mod column;
mod hnsw;
mod ivfflat;
