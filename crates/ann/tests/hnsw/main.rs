//! hnsw on the memory twin.

mod build;
mod corruption;
mod crash;
mod half;
mod insert;
mod oracle;
mod others;
mod search;
mod table;
mod vacuum;
mod world;
