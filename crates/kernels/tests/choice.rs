//! How a process chooses its level. The choice is made once, so each case is a process of its
//! own: this test binary again, running only `child`.

use pgnear_kernels::{Level, LevelError, kernels, kernels_at, try_kernels};
use std::process::Command;

/// The lines that `child` prints with `PGNEAR_SIMD` set to this, or not set.
fn child_lines(simd: Option<&str>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "child",
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env_remove("PGNEAR_SIMD");
    if let Some(simd) = simd {
        command.env("PGNEAR_SIMD", simd);
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| Some(line.split_once("child: ")?.1.to_owned()))
        .collect()
}

#[test]
#[ignore = "only run by the other tests, as a process"]
fn child() {
    // After a line break, since the harness has begun a line.
    println!("\nchild: {}", kernels().level);
    match try_kernels() {
        Ok(kernels) => println!("child: {}", kernels.level),
        Err(error) => println!("child: {error}"),
    }
}

#[test]
fn the_best_level_by_default() {
    let best = Level::best();
    assert!(best.supported());
    assert_eq!(child_lines(None), [best.name(), best.name()]);
}

#[test]
fn every_supported_level_by_name() {
    for level in Level::ALL {
        let lines = child_lines(Some(level.name()));
        if level.supported() {
            assert_eq!(lines, [level.name(), level.name()]);
        } else {
            let message = format!("this CPU does not support SIMD level \"{level}\"");
            assert_eq!(lines, [Level::best().name(), &message]);
        }
    }
}

#[test]
fn an_unknown_level_is_an_error_and_the_best_one_is_used() {
    for name in ["avx1024", "", "AVX2"] {
        let message = format!("unknown SIMD level \"{name}\": expected scalar, avx2 or avx512");
        assert_eq!(child_lines(Some(name)), [Level::best().name(), &message]);
    }
}

#[test]
fn names_go_both_ways() {
    for level in Level::ALL {
        assert_eq!(level.name().parse(), Ok(level));
        assert_eq!(level.to_string(), level.name());
        assert_eq!(
            kernels_at(level).map(|kernels| kernels.level),
            level.supported().then_some(level)
        );
    }
    assert_eq!(
        "neon".parse::<Level>(),
        Err(LevelError::Unknown("neon".to_owned()))
    );
    let message = LevelError::Unsupported(Level::Avx2).to_string();
    assert_eq!(message, "this CPU does not support SIMD level \"avx2\"");
}
