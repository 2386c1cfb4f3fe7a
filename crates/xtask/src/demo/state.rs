//! Which steps are done, kept beside the cluster's data so that it goes when they go.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Names of finished steps, each with a stamp of what it was made from.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct State(BTreeMap<String, String>);

impl State {
    pub fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(
            pairs
                .map(|(name, stamp)| (name.to_owned(), stamp.to_owned()))
                .collect(),
        )
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text: String = self
            .0
            .iter()
            .map(|(name, stamp)| format!("{name}={stamp}\n"))
            .collect();
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    pub fn is(&self, step: &str, stamp: u64) -> bool {
        self.0
            .get(step)
            .is_some_and(|found| *found == format!("{stamp:016x}"))
    }

    pub fn set(&mut self, step: &str, stamp: u64) {
        self.0.insert(step.to_owned(), format!("{stamp:016x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_done_only_for_the_same_stamp() {
        let mut state = State::default();
        state.set("index", 7);
        assert!(state.is("index", 7));
        assert!(!state.is("index", 8));
        assert!(!state.is("other", 7));
        let text: String = state
            .0
            .iter()
            .map(|(name, stamp)| format!("{name}={stamp}\n"))
            .collect();
        assert_eq!(State::parse(&text), state);
    }
}
