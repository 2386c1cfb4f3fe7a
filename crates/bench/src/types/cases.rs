//! What `bench types` measures, in groups that share tables.

use crate::data::Random;
use crate::system::System;
use crate::value::{Value, copy_text};
use anyhow::Result;
use half::f16;

/// Cases with one goal, and the tables that they read.
pub struct Group {
    pub title: String,
    /// What the ratio may be, where the project has set itself a goal.
    pub goal: Option<f64>,
    pub tables: Vec<Table>,
    pub cases: Vec<Case>,
}

pub struct Case {
    pub name: String,
    pub rows: usize,
    pub action: Action,
}

pub enum Action {
    /// A statement that gives one row, and its parameter.
    Query(String, Option<Value>),
    CopyIn(String, Vec<u8>),
    CopyOut(String),
}

/// A table `(id, x)`.
pub struct Table {
    pub name: String,
    column: Column,
}

enum Column {
    Values(Vec<Value>),
    /// Texts, kept as they are: what decompression costs is not the type's.
    Texts(Vec<String>),
}

impl Table {
    pub fn fill(&self, system: &mut System) -> Result<()> {
        let name = &self.name;
        match &self.column {
            Column::Values(values) => {
                let ty = values[0].column_type();
                system.run(&format!("CREATE TABLE {name} (id bigint, x {ty})"))?;
                system.load(name, 0, values.iter())?;
            }
            Column::Texts(texts) => {
                system.run(&format!(
                    "CREATE TABLE {name} (id bigint, x text); \
                     ALTER TABLE {name} ALTER x SET STORAGE EXTERNAL"
                ))?;
                let data = copy_text(texts.iter().cloned());
                system.copy_in(&format!("COPY {name} FROM STDIN"), &data)?;
            }
        }
        system.run(&format!("VACUUM (FREEZE, ANALYZE) {name}"))
    }
}

/// Every group. `rows` is for 384 dimensions; other tables have as many numbers in all.
pub fn all(rows: usize) -> Vec<Group> {
    let mut random = Random(0x7479_7065);
    let mut groups = Vec::new();
    for dims in [100, 384, 768, 1536] {
        let count = (rows * 384 / dims).max(1);
        let vectors: Vec<Value> = (0..count)
            .map(|_| Value::Vector(random.unit(dims)))
            .collect();
        groups.push(distances("vector", dims, 4, &vectors));
        let halves: Vec<Value> = vectors.iter().map(halved).collect();
        groups.push(distances("halfvec", dims, 2, &halves));
    }
    groups.push(bits(&mut random, rows));
    groups.push(sparse(&mut random, rows));
    let vectors: Vec<Value> = (0..rows).map(|_| Value::Vector(random.unit(384))).collect();
    let sparse: Vec<Value> = (0..rows).map(|_| sparse_value(&mut random)).collect();
    let halves: Vec<Value> = vectors.iter().map(halved).collect();
    groups.push(text_input(&vectors, &halves, &sparse));
    groups.push(text_output(&vectors, &halves, &sparse));
    groups.push(binary(&vectors, &halves, &sparse));
    groups.push(functions(&vectors, &halves));
    groups
}

fn halved(value: &Value) -> Value {
    match value {
        Value::Vector(x) => Value::Halfvec(x.iter().map(|x| f16::from_f32(*x)).collect()),
        other => other.clone(),
    }
}

fn sparse_value(random: &mut Random) -> Value {
    let mut indices: Vec<i32> = (0..64).map(|_| (random.next() % 30_000) as i32).collect();
    indices.sort_unstable();
    indices.dedup();
    let elements = indices
        .into_iter()
        .map(|index| (index, random.uniform() + 0.01))
        .collect();
    Value::Sparsevec(30_000, elements)
}

fn values(name: &str, values: &[Value]) -> Table {
    Table {
        name: name.to_owned(),
        column: Column::Values(values.to_vec()),
    }
}

fn distance_cases(prefix: &str, operators: &[(&str, &str)], table: &[Value]) -> Vec<Case> {
    operators
        .iter()
        .map(|(name, operator)| Case {
            name: format!("{prefix}{name} {operator}"),
            rows: table.len(),
            action: Action::Query(
                format!("SELECT sum(x {operator} $1) FROM t"),
                table.first().cloned(),
            ),
        })
        .collect()
}

const METRICS: [(&str, &str); 4] = [
    ("L2", "<->"),
    ("inner product", "<#>"),
    ("cosine", "<=>"),
    ("L1", "<+>"),
];

fn distances(ty: &str, dims: usize, width: usize, table: &[Value]) -> Group {
    // PostgreSQL moves what makes a row longer than a quarter page out of it.
    let place = if dims * width > 2000 {
        "out of line"
    } else {
        "in the row"
    };
    Group {
        title: format!("distance over {ty}({dims}), {place}"),
        goal: Some(1.0),
        tables: vec![values("t", table)],
        cases: distance_cases("", &METRICS, table),
    }
}

fn bits(random: &mut Random, rows: usize) -> Group {
    let table: Vec<Value> = (0..rows)
        .map(|_| Value::Bit((0..96).map(|_| random.next() as u8).collect()))
        .collect();
    Group {
        title: "distance over bit(768)".into(),
        goal: Some(1.0),
        cases: distance_cases("", &[("Hamming", "<~>"), ("Jaccard", "<%>")], &table),
        tables: vec![values("t", &table)],
    }
}

fn sparse(random: &mut Random, rows: usize) -> Group {
    let table: Vec<Value> = (0..rows).map(|_| sparse_value(random)).collect();
    Group {
        title: "distance over sparsevec(30000) with 64 elements".into(),
        goal: Some(1.0),
        cases: distance_cases("", &METRICS, &table),
        tables: vec![values("t", &table)],
    }
}

fn text_input(vectors: &[Value], halves: &[Value], sparse: &[Value]) -> Group {
    type Text = fn(&Value) -> String;
    let kinds: [(&str, &str, &[Value], Text); 4] = [
        ("vector(384)", "vector", vectors, Value::text),
        (
            "vector(384) in 17 digits",
            "vector",
            vectors,
            Value::text_of_doubles,
        ),
        ("halfvec(384)", "halfvec", halves, Value::text),
        (
            "sparsevec(30000) with 64 elements",
            "sparsevec",
            sparse,
            Value::text,
        ),
    ];
    let (mut tables, mut cases) = (Vec::new(), Vec::new());
    for (index, (name, ty, rows, text)) in kinds.into_iter().enumerate() {
        let (texts, sink) = (format!("texts{index}"), format!("sink{index}"));
        cases.push(Case {
            name: format!("cast to {name}"),
            rows: rows.len(),
            action: Action::Query(format!("SELECT count(x::{ty}) FROM {texts}"), None),
        });
        // The condition drops each row after its input: storing it costs the same for both.
        cases.push(Case {
            name: format!("COPY of {name}"),
            rows: rows.len(),
            action: Action::CopyIn(
                format!("COPY {sink} FROM STDIN WHERE id < 0"),
                copy_text(rows.iter().map(text)),
            ),
        });
        tables.push(Table {
            name: texts,
            column: Column::Texts(rows.iter().map(text).collect()),
        });
        tables.push(values(&sink, &rows[..1]));
    }
    Group {
        title: "text input".into(),
        goal: Some(1.2),
        tables,
        cases,
    }
}

fn text_output(vectors: &[Value], halves: &[Value], sparse: &[Value]) -> Group {
    let (mut tables, mut cases) = (Vec::new(), Vec::new());
    for (name, table, rows) in three(vectors, halves, sparse) {
        cases.push(Case {
            name: format!("{name} cast to text"),
            rows: rows.len(),
            action: Action::Query(format!("SELECT count(x::text) FROM {table}"), None),
        });
        cases.push(Case {
            name: format!("COPY of {name}"),
            rows: rows.len(),
            action: Action::CopyOut(format!("COPY {table} TO STDOUT")),
        });
        tables.push(values(table, rows));
    }
    Group {
        title: "text output".into(),
        goal: None,
        tables,
        cases,
    }
}

fn binary(vectors: &[Value], halves: &[Value], sparse: &[Value]) -> Group {
    let (mut tables, mut cases) = (Vec::new(), Vec::new());
    for (name, table, rows) in three(vectors, halves, sparse) {
        cases.push(Case {
            name: format!("{name} in"),
            rows: rows.len(),
            action: Action::CopyIn(
                format!("COPY {table} FROM STDIN WITH (FORMAT binary) WHERE id < 0"),
                crate::value::copy_binary(0, rows.iter()),
            ),
        });
        cases.push(Case {
            name: format!("{name} out"),
            rows: rows.len(),
            action: Action::CopyOut(format!("COPY {table} TO STDOUT WITH (FORMAT binary)")),
        });
        tables.push(values(table, rows));
    }
    Group {
        title: "binary COPY".into(),
        goal: None,
        tables,
        cases,
    }
}

fn three<'v>(
    vectors: &'v [Value],
    halves: &'v [Value],
    sparse: &'v [Value],
) -> [(&'static str, &'static str, &'v [Value]); 3] {
    [
        ("vector(384)", "v", vectors),
        ("halfvec(384)", "h", halves),
        ("sparsevec(30000) with 64 elements", "s", sparse),
    ]
}

fn functions(vectors: &[Value], halves: &[Value]) -> Group {
    let of = |expression: &str, table: &str| Case {
        name: format!(
            "{expression} of {}",
            if table == "v" {
                "vector(384)"
            } else {
                "halfvec(384)"
            }
        ),
        rows: vectors.len(),
        action: Action::Query(format!("SELECT {expression} FROM {table}"), None),
    };
    Group {
        title: "aggregates and functions".into(),
        goal: None,
        tables: vec![values("v", vectors), values("h", halves)],
        cases: vec![
            of("avg(x)::text", "v"),
            of("sum(x)::text", "v"),
            of("avg(x)::text", "h"),
            of("sum(x)::text", "h"),
            of("count(vector_dims(x))", "v"),
            of("count(vector_norm(x))", "v"),
            of("count(l2_normalize(x))", "v"),
            of("count(x + x)", "v"),
            of("count(x * x)", "v"),
            of("count(x::halfvec)", "v"),
            of("count(x::vector)", "h"),
            of("count(binary_quantize(x))", "v"),
            of("count(subvector(x, 1, 96))", "v"),
            of("count(x::real[])", "v"),
            of("count(x = x)", "v"),
            of("count(x < x)", "v"),
        ],
    }
}
