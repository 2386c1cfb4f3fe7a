//! A device that another program drives: see "The program" in the README of this crate.

mod client;
mod launch;
pub mod protocol;
pub mod shared;

pub use client::{DeviceInfo, Remote, Tally, Wait, suits};
pub use launch::Launch;
