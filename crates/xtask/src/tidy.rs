//! stub
use crate::project::Project;
use anyhow::Result;
pub fn run(_: &Project) -> Result<bool> {
    Ok(true)
}
