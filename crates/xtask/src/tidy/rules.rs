//! The rules, over a tree of files.

use super::source::{Token, tokens};
use super::{File, Finding};

/// The pure crates from left to right: each may name those to its left only.
const ROOMS: [&str; 5] = ["kernels", "values", "device", "quant", "ann"];

/// The modules of the extension crate with their ranks: each may name those of its own rank and below.
const MODULES: [(&str, usize); 4] = [("pg", 0), ("types", 1), ("ops", 1), ("am", 2)];

/// Where `unsafe` may be written: SIMD, threads and CUDA, and calls into PostgreSQL.
const UNSAFE_ROOMS: [&str; 4] = [
    "crates/kernels/",
    "crates/device/",
    "crates/gpu/",
    "src/pg/",
];

const MAX_LINES: usize = 800;
const MAX_TEST_LINES: usize = 1200;

/// Everything that is wrong in the tree, in the order of its files.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if name.ends_with(".rs") {
            check_source(file, &mut findings);
        } else if name.ends_with(".toml") {
            check_toml(file, name, &mut findings);
        }
    }
    check_readmes(files, &mut findings);
    findings
}

fn check_source(file: &File, findings: &mut Vec<Finding>) {
    let path = &file.path;
    let found = tokens(&file.text);
    let mut say = |line: usize, message: String| {
        findings.push(Finding {
            path: path.clone(),
            line,
            message,
        })
    };

    let lines = file.text.lines().count();
    let is_test =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    let limit = if is_test { MAX_TEST_LINES } else { MAX_LINES };
    if lines > limit {
        say(
            lines,
            format!("{lines} lines; a file has at most {limit}: cut it by concern"),
        );
    }

    let walled = !UNSAFE_ROOMS.iter().any(|room| path.starts_with(room));
    for token in &found {
        match token.text.as_str() {
            "unsafe" if walled => say(
                token.line,
                format!("unsafe belongs into {}", UNSAFE_ROOMS.join(", ")),
            ),
            "pgrx" if !path.starts_with("src/") => {
                say(token.line, "pgrx is named under src/ only".into())
            }
            "hnsw" if path.contains("/ivfflat/") => {
                say(token.line, "ivfflat and hnsw do not name each other".into())
            }
            "ivfflat" if path.contains("/hnsw/") => {
                say(token.line, "ivfflat and hnsw do not name each other".into())
            }
            word => {
                if let Some(message) = wrong_crate(path, word) {
                    say(token.line, message);
                }
            }
        }
    }
    for pair in found.windows(3) {
        if walled && pair[0].text == "allow" && pair[1].text == "(" && pair[2].text == "unsafe_code"
        {
            say(pair[0].line, "the wall around unsafe has no doors".into());
        }
    }
    if let Some(room) = crate_of(path)
        && walled
        && ["lib.rs", "main.rs"]
            .iter()
            .any(|name| *path == format!("crates/{room}/src/{name}"))
        && !found
            .windows(3)
            .any(|w| ["deny", "forbid"].contains(&w[0].text.as_str()) && w[2].text == "unsafe_code")
    {
        say(1, "#![deny(unsafe_code)] is missing".into());
    }
    for (line, module) in root_modules(path, &found) {
        let own = path
            .strip_prefix("src/")
            .and_then(|rest| rank(rest.split(['/', '.']).next()?));
        if let (Some(own), Some(named)) = (own, rank(&module))
            && named > own
        {
            say(
                line,
                format!("names {module}, which is to its right: pg, {{types, ops}}, am, lib"),
            );
        }
    }
}

fn check_toml(file: &File, name: &str, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        let mut say = |message: String| {
            findings.push(Finding {
                path: file.path.clone(),
                line: index + 1,
                message,
            })
        };
        let line = line.split('#').next().unwrap_or_default();
        if line.contains("target-cpu") {
            say("one binary runs on every CPU: no target-cpu".into());
        }
        if name != "Cargo.toml" || line.trim_start().starts_with("name") {
            continue;
        }
        for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
            if word == "pgrx" && file.path.starts_with("crates/") {
                say("pgrx is named under src/ only".into());
            } else if let Some(message) = wrong_crate(&file.path, &word.replace('-', "_")) {
                say(message);
            }
        }
    }
}

fn check_readmes(files: &[File], findings: &mut Vec<Finding>) {
    for file in files {
        let Some(folder) = file
            .path
            .strip_suffix("/Cargo.toml")
            .filter(|folder| folder.starts_with("crates/"))
        else {
            continue;
        };
        let readme = format!("{folder}/README.md");
        if !files.iter().any(|file| file.path == readme) {
            findings.push(Finding {
                path: file.path.clone(),
                line: 1,
                message: format!("there is no {readme}"),
            });
        }
    }
}

/// The crate that a file of crates/ belongs to.
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

/// What is wrong with a pure crate's naming `word`, where that is a crate to its right.
fn wrong_crate(path: &str, word: &str) -> Option<String> {
    let place = |room: &str| ROOMS.iter().position(|name| *name == room);
    let own = place(crate_of(path)?)?;
    let named = word.strip_prefix("pgnear_")?;
    (place(named)? > own)
        .then(|| format!("names {named}, which is to its right: {}", ROOMS.join(", ")))
}

fn rank(module: &str) -> Option<usize> {
    MODULES
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, rank)| *rank)
}

/// The modules at the extension crate's root that a file names, through `crate::` or `super::`.
fn root_modules(path: &str, found: &[Token]) -> Vec<(usize, String)> {
    let Some(inside) = path.strip_prefix("src/") else {
        return Vec::new();
    };
    // src/pg/buffer.rs is crate::pg::buffer: two times super is the root.
    let depth = inside
        .trim_end_matches("/mod.rs")
        .trim_end_matches(".rs")
        .split('/')
        .count();
    let text = |i: usize| found.get(i).map_or("", |token| token.text.as_str());
    let mut modules = Vec::new();
    let mut i = 0;
    while i < found.len() {
        let mut after = i;
        if text(i) == "crate" {
            after += 1;
        } else {
            let mut up = 0;
            while text(after) == "super" && text(after + 1) == ":" && text(after + 2) == ":" {
                up += 1;
                after += 3;
            }
            if up == 0 || up < depth {
                i = after.max(i + 1);
                continue;
            }
            after -= 2;
        }
        if text(after) == ":" && text(after + 1) == ":" {
            after += 2;
            if text(after) == "{" {
                modules.extend(first_words(found, after));
            } else if let Some(token) = found.get(after) {
                modules.push((token.line, token.text.clone()));
            }
        }
        i = after.max(i + 1);
    }
    modules
}

/// The first word of each member of a group that opens at `open`, as in `{pg, types::{a, b}}`.
fn first_words(found: &[Token], open: usize) -> Vec<(usize, String)> {
    let (mut depth, mut words) = (0_usize, Vec::new());
    for i in open..found.len() {
        match found[i].text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            word if depth == 1
                && word != ","
                && ["{", ","].contains(&found[i - 1].text.as_str()) =>
            {
                words.push((found[i].line, word.to_owned()));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    words
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
