//! `cargo xtask`: the commands that the project's README names.
#![deny(unsafe_code)]

mod apt;
mod bench;
mod cluster;
mod command;
mod demo;
mod extension;
mod gpu_check;
mod install;
mod kernels;
mod npy;
mod package;
mod pg_config;
mod project;
mod psql;
mod test;
mod tidy;
mod tree;
mod wheel;

use anyhow::{Result, bail};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  demo     [--pg-config PATH]            build, start a private PostgreSQL, load a dictionary, search it
  demo     --stop                        stop the demo's server
  test     [--pg-config PATH] [--majors 15,18] [--accept] [FILTER]
                                         everything that must pass; ends with a line of counts
  bench    types | ivfflat | hnsw | batch [--quick]
                                         measurements beside pgvector; `bench help` says more
  install  [--pg-config PATH] [--replace-pgvector]
                                         build and install into an existing PostgreSQL
  package  [--pg-config PATH]            a tarball of the library and its SQL under target/package
  kernels                                compile the GPU kernels anew, after a change
  gpu-check                              an archive that checks all of it on a machine with a GPU
  tidy                                   the rules of the source tree

--pg-config takes any PostgreSQL 15 to 18 with its server headers. Without it: the one on PATH,
else Debian's newest; demo and test install the packages that are missing, and say so.
";

/// One parsed command line.
enum Command {
    Demo {
        pg_config: Option<PathBuf>,
        stop: bool,
    },
    Test(test::Options),
    Bench(Vec<OsString>),
    Install {
        pg_config: Option<PathBuf>,
        replace_pgvector: bool,
    },
    Package {
        pg_config: Option<PathBuf>,
    },
    Kernels,
    GpuCheck,
    Tidy,
    Help,
}

fn parse() -> Result<Command> {
    let mut parser = lexopt::Parser::from_env();
    let name = match parser.next()? {
        Some(Value(name)) => name.string()?,
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected().into()),
    };
    if name == "bench" {
        return Ok(Command::Bench(parser.raw_args()?.collect())); // its arguments are its own
    }
    let (mut pg_config, mut stop, mut replace_pgvector) = (None, false, false);
    let (mut majors, mut accept, mut filter) = (None, false, None);
    while let Some(argument) = parser.next()? {
        match (name.as_str(), argument) {
            (_, Long("help") | Short('h')) => return Ok(Command::Help),
            ("demo" | "test" | "install" | "package", Long("pg-config")) => {
                pg_config = Some(PathBuf::from(parser.value()?));
            }
            ("demo", Long("stop")) => stop = true,
            ("install", Long("replace-pgvector")) => replace_pgvector = true,
            ("test", Long("accept")) => accept = true,
            ("test", Long("majors")) => {
                majors = Some(test::parse_majors(&parser.value()?.string()?)?)
            }
            ("test", Value(value)) if filter.is_none() => filter = Some(value.string()?),
            (_, other) => return Err(other.unexpected().into()),
        }
    }
    Ok(match name.as_str() {
        "demo" => Command::Demo { pg_config, stop },
        "test" => Command::Test(test::Options {
            pg_config,
            majors,
            accept,
            filter,
        }),
        "install" => Command::Install {
            pg_config,
            replace_pgvector,
        },
        "package" => Command::Package { pg_config },
        "kernels" => Command::Kernels,
        "gpu-check" => Command::GpuCheck,
        "tidy" => Command::Tidy,
        "help" => Command::Help,
        other => bail!("there is no command \"{other}\"\n\n{USAGE}"),
    })
}

fn main() -> ExitCode {
    let outcome = parse().and_then(|command| {
        let project = project::Project::find()?;
        match command {
            Command::Demo { stop: true, .. } => demo::stop(&project).map(|()| true),
            Command::Demo { pg_config, .. } => demo::run(&project, pg_config).map(|()| true),
            Command::Test(options) => test::run(&project, &options),
            Command::Install {
                pg_config,
                replace_pgvector,
            } => install::run(&project, pg_config, replace_pgvector).map(|()| true),
            Command::Package { pg_config } => package::run(&project, pg_config).map(|()| true),
            Command::Kernels => kernels::run(&project).map(|()| true),
            Command::GpuCheck => gpu_check::run(&project).map(|()| true),
            Command::Tidy => tidy::run(&project),
            Command::Bench(arguments) => bench::run(&project, &arguments).map(|()| true),
            Command::Help => {
                print!("{USAGE}");
                Ok(true)
            }
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
