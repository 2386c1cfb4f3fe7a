//! The demo's searches: answers, plan, recall.

use super::DATABASE;
use super::load::METHODS;
use crate::cluster::Cluster;
use crate::psql::Psql;
use anyhow::{Context, Result};
use std::collections::HashSet;

/// What the demo asks, for each of the questions.
const SEARCH: &str = "\
SELECT word, definition, embedding <#> $1 AS score
FROM entries
WHERE part_of_speech = 'noun'
ORDER BY embedding <#> $1
LIMIT 5";

/// A search with a condition goes on until its LIMIT is full. The planner takes the cheaper index as
/// they are set: one list of ivfflat, its default, would be the cheapest search and by far the worst,
/// while twenty find about as much as hnsw does.
const SETTING: &str = "SET hnsw.iterative_scan = strict_order;\nSET ivfflat.probes = 20;\n";

/// Shows everything.
pub fn show(cluster: &Cluster) -> Result<()> {
    let database = cluster.psql(DATABASE);
    let questions = questions(&database)?;
    println!("\n{SETTING}PREPARE search (vector) AS\n{SEARCH};\n");
    print_answers(
        &questions,
        &answers(&database, SETTING, SEARCH, &questions)?,
    );
    let plan = plan(&database, SETTING, &questions)?;
    println!("\nThe plan of one search:\n{plan}");
    if !METHODS.iter().any(|method| plan.contains(method.index)) {
        println!("The planner found the sequential scan cheaper here than an index.");
    }
    print_recall(&database, &questions)
}

/// The questions with their vectors' text.
fn questions(database: &Psql) -> Result<Vec<(String, String)>> {
    let rows = database.query("SELECT question, embedding FROM questions ORDER BY id")?;
    rows.lines()
        .map(|row| {
            row.split_once('\t')
                .map(|(q, v)| (q.to_owned(), v.to_owned()))
                .context("a question without vector")
        })
        .collect()
}

/// Each question's rows, as psql prints them with tabs.
fn answers(
    database: &Psql,
    setting: &str,
    search: &str,
    questions: &[(String, String)],
) -> Result<Vec<Vec<String>>> {
    let mut script = format!("{setting}PREPARE search (vector) AS {search};\n");
    for (_, vector) in questions {
        script.push_str(&format!("EXECUTE search ('{vector}');\n\\echo --\n"));
    }
    let printed = database.script(&script)?;
    let mut all = vec![Vec::new()];
    for line in printed.lines() {
        match (line, all.last_mut()) {
            ("--", _) => all.push(Vec::new()),
            (row, Some(rows)) => rows.push(row.to_owned()),
            (_, None) => {}
        }
    }
    all.truncate(questions.len());
    Ok(all)
}

fn print_answers(questions: &[(String, String)], answers: &[Vec<String>]) {
    let width = questions
        .iter()
        .map(|(question, _)| question.chars().count())
        .max()
        .unwrap_or(0);
    println!("{:width$} | score | word: definition", "question");
    println!("{:-<width$}-+-------+{:-<60}", "", "");
    for ((question, _), rows) in questions.iter().zip(answers) {
        for (row, text) in rows.iter().enumerate() {
            let mut fields = text.split('\t');
            let (word, definition) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            let score: f64 = fields
                .next()
                .and_then(|field| field.parse().ok())
                .unwrap_or(f64::NAN);
            let question = if row == 0 { question } else { "" };
            println!(
                "{question:width$} | {score:5.2} | {}",
                cut(&format!("{word}: {definition}"), 70)
            );
        }
    }
}

fn plan(database: &Psql, setting: &str, questions: &[(String, String)]) -> Result<String> {
    let vector = questions.first().map_or("", |(_, vector)| vector);
    let script = format!(
        "{setting}PREPARE search (vector) AS {SEARCH};\nEXPLAIN (ANALYZE, COSTS OFF) EXECUTE search ('{vector}');"
    );
    let printed = database.script(&script)?;
    Ok(printed
        .lines()
        .map(|line| format!("  {}\n", shorten_vectors(line)))
        .collect())
}

/// Recall of each index beside the exact scan, where an answer as near as the last one counts too.
fn print_recall(database: &Psql, questions: &[(String, String)]) -> Result<()> {
    let search = |limit: u32| {
        format!("SELECT id, embedding <#> $1 FROM entries ORDER BY embedding <#> $1 LIMIT {limit}")
    };
    println!(
        "\nRecall beside the exact scan ({} questions):",
        questions.len()
    );
    println!("  {:>19} | recall@5 | recall@10", "setting");
    let exact = answers(
        database,
        "SET enable_indexscan = off;\n",
        &search(10),
        questions,
    )?;
    for method in METHODS {
        // The planner takes the index that is left, until the transaction ends without COMMIT.
        let others: String = METHODS
            .iter()
            .filter(|other| other.name != method.name)
            .map(|other| format!("DROP INDEX {};\n", other.index))
            .collect();
        for value in method.values {
            let setting = format!(
                "SET enable_seqscan = off;\nSET {} = {value};\nBEGIN;\n{others}",
                method.setting
            );
            let found = answers(database, &setting, &search(10), questions)?;
            println!(
                "  {:>19} | {:8.3} | {:9.3}",
                format!("{} = {value}", method.setting),
                recall(&exact, &found, 5),
                recall(&exact, &found, 10)
            );
        }
    }
    Ok(())
}

/// The mean share of the first `k` exact answers among the first `k` found. Rows are `id<TAB>distance`.
fn recall(exact: &[Vec<String>], found: &[Vec<String>], k: usize) -> f64 {
    let distance = |row: &str| {
        row.split('\t')
            .nth(1)
            .and_then(|field| field.parse::<f64>().ok())
    };
    let (mut hits, mut wanted) = (0, 0);
    for (exact, found) in exact.iter().zip(found) {
        let exact = &exact[..k.min(exact.len())];
        let farthest = exact
            .last()
            .and_then(|row| distance(row))
            .unwrap_or(f64::NEG_INFINITY);
        let found: HashSet<&str> = found
            .iter()
            .take(k)
            .filter(|row| distance(row).is_some_and(|d| d <= farthest))
            .map(String::as_str)
            .collect();
        hits += found.len().min(exact.len());
        wanted += exact.len();
    }
    if wanted == 0 {
        f64::NAN
    } else {
        hits as f64 / wanted as f64
    }
}

fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A plan prints a vector with all its numbers; the first one is enough to see what it is.
fn shorten_vectors(line: &str) -> String {
    let mut short = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("'[") {
        let Some(length) = rest[start..].find("]'") else {
            break;
        };
        let vector = &rest[start..start + length];
        short.push_str(&rest[..start]);
        short.push_str(vector.split(',').next().unwrap_or(vector));
        short.push_str(if vector.contains(',') { ",…]'" } else { "]'" });
        rest = &rest[start + length + 2..];
    }
    short + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&str]) -> Vec<Vec<String>> {
        vec![rows.iter().map(|row| row.replace(' ', "\t")).collect()]
    }

    #[test]
    fn recall_counts_ties_as_hits() {
        let exact = rows(&["1 0.1", "2 0.2", "3 0.3"]);
        assert_eq!(recall(&exact, &rows(&["1 0.1", "4 0.2", "5 0.9"]), 2), 1.0);
        assert_eq!(recall(&exact, &rows(&["1 0.1", "3 0.3"]), 2), 0.5);
        assert_eq!(recall(&exact, &rows(&["1 0.1"]), 2), 0.5);
        assert!(recall(&[], &[], 2).is_nan());
    }

    #[test]
    fn vectors_in_plans_are_shortened() {
        assert_eq!(
            shorten_vectors("Order By: (e <#> '[0.5,1,2]'::vector)"),
            "Order By: (e <#> '[0.5,…]'::vector)"
        );
        assert_eq!(
            shorten_vectors("Filter: (a = 'noun')"),
            "Filter: (a = 'noun')"
        );
    }
}
