use super::*;

fn file(path: &str, text: &str) -> File {
    File {
        path: path.into(),
        text: text.into(),
    }
}

/// `path:line` of everything found in one file.
fn places(path: &str, text: &str) -> Vec<String> {
    check(&[file(path, text)])
        .into_iter()
        .map(|finding| format!("{}:{}", finding.path, finding.line))
        .collect()
}

#[test]
fn a_crate_names_only_crates_to_its_left() {
    assert_eq!(
        places("crates/kernels/src/a.rs", "\nuse pgnear_device::Device;"),
        ["crates/kernels/src/a.rs:2"]
    );
    assert_eq!(
        places(
            "crates/ann/src/a.rs",
            "use pgnear_quant::KMeans; fn f() { pgnear_ann::g() }"
        ),
        [""; 0]
    );
    assert_eq!(
        places(
            "crates/quant/src/a.rs",
            "// pgnear_ann\nlet s = \"pgnear_ann\";"
        ),
        [""; 0]
    );
    assert_eq!(
        places("crates/xtask/src/a.rs", "use pgnear_ann::x;"),
        [""; 0]
    );
}

#[test]
fn manifests_follow_the_same_direction() {
    let manifest =
        "[package]\nname = \"pgnear-values\"\n[dependencies]\npgnear-kernels.workspace = true\n";
    let readme = file("crates/values/README.md", "");
    assert_eq!(
        check(&[file("crates/values/Cargo.toml", manifest), readme]),
        []
    );
    let wrong = format!("{manifest}pgnear-ann.workspace = true\npgrx = \"1\"\n");
    let found = check(&[
        file("crates/values/Cargo.toml", &wrong),
        file("crates/values/README.md", ""),
    ]);
    assert_eq!(
        found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
        [5, 6]
    );
}

#[test]
fn modules_of_the_extension_name_only_those_to_their_left() {
    let wrong = [
        ("src/pg/a.rs", "use crate::types::Vector;"),
        ("src/pg/a.rs", "use crate::{pg::x, ops};"),
        ("src/pg/a.rs", "use super::super::am::x;"),
        ("src/pg/mod.rs", "use super::am::x;"),
        ("src/types/a.rs", "fn f() { crate::am::build() }"),
        ("src/ops.rs", "use crate::{\n    pg::{am, x}, am::y};"),
    ];
    for (path, text) in wrong {
        assert_eq!(places(path, text).len(), 1, "{path}: {text}");
    }
    let right = [
        (
            "src/types/a.rs",
            "use crate::pg::x; use crate::ops::y; use super::types::z;",
        ),
        (
            "src/am/a.rs",
            "use crate::{pg, types, ops, am}; use super::super::ops::x;",
        ),
        ("src/lib.rs", "use crate::am::x;"),
        (
            "src/pg/a.rs",
            "use super::types; use crate::pg::am; use crate::{pg::types}; // crate::am",
        ),
    ];
    for (path, text) in right {
        assert_eq!(places(path, text), [""; 0], "{path}: {text}");
    }
}

#[test]
fn unsafe_stays_behind_its_walls() {
    for path in [
        "crates/kernels/src/x86.rs",
        "crates/device/src/pool.rs",
        "src/pg/varlena.rs",
    ] {
        assert_eq!(places(path, "unsafe { f() }"), [""; 0]);
    }
    assert_eq!(
        places("src/types/vector.rs", "// unsafe\n\nunsafe { f() }"),
        ["src/types/vector.rs:3"]
    );
    assert_eq!(
        places("src/lib.rs", "#[unsafe(no_mangle)]"),
        ["src/lib.rs:1"]
    );
    assert_eq!(
        places("crates/ann/src/a.rs", "#[allow(unsafe_code)]"),
        ["crates/ann/src/a.rs:1"]
    );
    assert_eq!(
        places("crates/ann/src/lib.rs", "pub mod a;"),
        ["crates/ann/src/lib.rs:1"]
    );
    assert_eq!(
        places("crates/ann/src/lib.rs", "#![deny(unsafe_code)]"),
        [""; 0]
    );
}

#[test]
fn only_the_extension_names_pgrx() {
    assert_eq!(
        places("crates/ann/src/a.rs", "use pgrx::pg_sys;"),
        ["crates/ann/src/a.rs:1"]
    );
    assert_eq!(places("src/types/a.rs", "use pgrx::prelude::*;"), [""; 0]);
}

#[test]
fn the_access_methods_do_not_name_each_other() {
    assert_eq!(
        places("crates/ann/src/ivfflat/scan.rs", "use crate::hnsw::x;"),
        ["crates/ann/src/ivfflat/scan.rs:1"]
    );
    assert_eq!(
        places("crates/ann/src/hnsw/scan.rs", "use crate::ivfflat::x;"),
        ["crates/ann/src/hnsw/scan.rs:1"]
    );
    assert_eq!(
        places("crates/ann/src/ivfflat/scan.rs", "use crate::ivfflat::x;"),
        [""; 0]
    );
}

#[test]
fn long_files_are_named() {
    assert_eq!(places("src/lib.rs", &"\n".repeat(801)), ["src/lib.rs:801"]);
    assert_eq!(places("src/lib.rs", &"\n".repeat(800)), [""; 0]);
    assert_eq!(places("crates/ann/tests/a.rs", &"\n".repeat(1200)), [""; 0]);
    assert_eq!(
        places("crates/ann/tests/a.rs", &"\n".repeat(1201)),
        ["crates/ann/tests/a.rs:1201"]
    );
}

#[test]
fn no_binary_is_built_for_one_cpu() {
    let config = "# never target-cpu=native\n[build]\nrustflags = [\"-Ctarget-cpu=native\"]\n";
    assert_eq!(
        places(".cargo/config.toml", config),
        [".cargo/config.toml:3"]
    );
}

#[test]
fn every_crate_has_a_readme() {
    assert_eq!(
        places("crates/ann/Cargo.toml", "[package]\nname = \"pgnear-ann\""),
        ["crates/ann/Cargo.toml:1"]
    );
}
