//! CPU seconds, wall seconds and error of k-means on real vectors:
//!
//! `kmeans_bench --data DIR [--file minilm384/base.f16.npy] [--rows 50000] [--k 1000] [--threads N]
//! [--iterations N] [--seed S] [--spherical]`, where FILE is a two-dimensional `.npy` of f16.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use half::f16;
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_quant::{Assign, Job, KMeansOptions, Matrix, kmeans, nearest_batch};

fn main() -> Result<(), Box<dyn Error>> {
    let mut data = None;
    let mut file = "minilm384/base.f16.npy".to_owned();
    let (mut rows, mut threads) = (50_000, 1);
    let mut options = KMeansOptions {
        k: 1000,
        ..KMeansOptions::default()
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--spherical" {
            options.spherical = true;
            continue;
        }
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--data" => data = Some(PathBuf::from(value)),
            "--file" => file = value,
            "--rows" => rows = value.parse()?,
            "--k" => options.k = value.parse()?,
            "--threads" => threads = value.parse()?,
            "--iterations" => options.max_iterations = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            _ => return Err(format!("unknown argument {arg}").into()),
        }
    }
    let all = read_npy(&data.ok_or("--data DIR is missing")?.join(file))?;
    let dims = all.dims();
    // Every so-manieth row, so that the sample covers the file.
    let step = (all.rows() / rows).max(1);
    let sample: Vec<f32> = (0..all.rows())
        .step_by(step)
        .take(rows)
        .flat_map(|i| all.row(i).iter().copied())
        .collect();
    let samples = Matrix::try_from_vec(dims, sample)?;
    println!(
        "{} rows of {dims} dimensions, {options:?}, {threads} thread(s), kernels {:?}",
        samples.rows(),
        pgnear_kernels::kernels().level
    );

    let pool = Pool::new(threads);
    let (budget, cancel, progress) = (
        MemoryBudget::unlimited(),
        CancelFlag::new(),
        Progress::new(),
    );
    let mut poll = || Ok::<(), std::convert::Infallible>(());
    let mut job = Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut poll,
    };
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    let result = kmeans(&mut job, samples, &options)?;
    println!(
        "k-means: {:.2} s CPU, {:.2} s wall, {} iterations, error {:.6}",
        cpu_seconds()? - cpu,
        wall.elapsed().as_secs_f64(),
        result.iterations,
        result.error
    );
    let by = if options.spherical {
        Assign::Dot
    } else {
        Assign::L2
    };
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    let lists = nearest_batch(&mut job, &result.centroids, all.as_slice(), by)?;
    let mut sizes = vec![0usize; options.k];
    for list in lists {
        sizes[list as usize] += 1;
    }
    println!(
        "assignment of {} rows: {:.2} s CPU, {:.2} s wall; list sizes {:?} to {:?}",
        all.rows(),
        cpu_seconds()? - cpu,
        wall.elapsed().as_secs_f64(),
        sizes.iter().min(),
        sizes.iter().max()
    );
    Ok(())
}

/// A `.npy` file of version 1 that holds a C-ordered two-dimensional array of f16.
fn read_npy(path: &PathBuf) -> Result<Matrix, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let header_len = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = std::str::from_utf8(&bytes[10..10 + header_len])?;
    if !header.contains("'<f2'") || !header.contains("'fortran_order': False") {
        return Err(format!("not a C-ordered f16 array: {header}").into());
    }
    let shape = header.split('(').nth(1).and_then(|s| s.split(')').next());
    let dims: usize = shape
        .and_then(|s| s.split(',').nth(1))
        .ok_or("no second dimension")?
        .trim()
        .parse()?;
    let data = bytes[10 + header_len..]
        .chunks_exact(2)
        .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
        .collect();
    Ok(Matrix::try_from_vec(dims, data)?)
}

/// User and system time of this process so far (Linux, at the usual 100 ticks a second).
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat[stat.rfind(')').ok_or("no name")? + 2..]
        .split(' ')
        .collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
