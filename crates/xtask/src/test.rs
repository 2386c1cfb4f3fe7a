//! stub
use crate::project::Project;
use anyhow::Result;
use std::path::PathBuf;
pub struct Options {
    pub pg_config: Option<PathBuf>,
    pub majors: Option<Vec<u32>>,
    pub accept: bool,
    pub filter: Option<String>,
}
pub fn parse_majors(_: &str) -> Result<Vec<u32>> {
    Ok(vec![])
}
pub fn run(project: &Project, o: &Options) -> Result<bool> {
    let _ = (&o.pg_config, &o.majors, o.accept, &o.filter);
    crate::wheel::server(project, 18)?;
    Ok(false)
}
