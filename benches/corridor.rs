//! How long the corridor takes on repositories of several sizes, and how it grows. Arguments: `ITEMS` or
//! `ITEMSxENVIRONMENTS`, any number of them; without any 100, 1,000 and 10,000 items with 200 environments.

mod support;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::daemon::{Daemon, children_peak, cpu};
use support::generate::{commit_one_file, generate};

/// One seed for all runs, so that numbers of two days speak of the same repository.
const SEED: u64 = 1912;

/// Runs of which the median is shown.
const RUNS: usize = 5;

/// What is shown of one size.
struct Row {
    items: usize,
    environments: usize,
    /// `wharf diff --executor kubernetes --against empty`, a fresh process.
    cold: Duration,
    /// Its largest resident set, bytes.
    peak: u64,
    /// From a commit that changed one file to its plan, in a running daemon.
    one_file: Duration,
    /// A poll that found nothing, CPU of the daemon alone.
    poll: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds flags of its own (`--bench`).
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = if asked.is_empty() { vec![(100, 200), (1000, 200), (10_000, 200)] } else { sizes(&asked)? };
    println!("medians of {RUNS} runs; x: growth against the row above\n");
    println!(
        "{:>7} {:>5} {:>16} {:>14} {:>18} {:>16}",
        "items", "envs", "cold plan", "peak memory", "one-file commit", "idle poll, CPU"
    );
    let mut above: Option<Row> = None;
    for (items, environments) in sizes {
        let row = measure(items, environments)?;
        let factor = |of: fn(&Row) -> f64| {
            above.as_ref().map_or_else(String::new, |above| format!(" x{:.1}", of(&row) / of(above)))
        };
        println!(
            "{:>7} {:>5} {:>16} {:>14} {:>18} {:>16}",
            row.items,
            row.environments,
            format!("{}{}", milliseconds(row.cold), factor(|row| row.cold.as_secs_f64())),
            format!("{} MiB", row.peak >> 20),
            format!("{}{}", milliseconds(row.one_file), factor(|row| row.one_file.as_secs_f64())),
            format!("{}{}", milliseconds(row.poll), factor(|row| row.poll.as_secs_f64())),
        );
        above = Some(row);
    }
    Ok(())
}

fn measure(items: usize, environments: usize) -> Result<Row, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("repository.git");
    generate(&path, items, environments, SEED)?;
    let cold = median(|| cold_plan(&path))?;
    let peak = children_peak()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let url = path.to_string_lossy().into_owned();
    let mut daemon = Daemon::new(&url, directory.path())?;
    runtime.block_on(daemon.settle())?;
    let repository = git2::Repository::open_bare(&path)?;
    let mut number = 0;
    let one_file = median(|| {
        number += 1;
        runtime.block_on(daemon.settle())?;
        commit_one_file(&repository, items / 2 + number)?;
        let start = Instant::now();
        let operations = runtime.block_on(daemon.poll())?;
        if operations == 0 {
            return Err("a changed file has to change something".into());
        }
        Ok(start.elapsed())
    })?;
    runtime.block_on(daemon.settle())?;
    let poll = median(|| {
        let before = cpu()?;
        runtime.block_on(daemon.poll())?;
        Ok(cpu()?.saturating_sub(before))
    })?;
    Ok(Row { items, environments, cold, peak, one_file, poll })
}

/// A fresh process that reads, selects and plans everything, and prints the plan to nowhere.
fn cold_plan(repository: &Path) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command
        .args([
            "diff",
            "--executor",
            "kubernetes",
            "--against",
            "empty",
            "--output",
            "json",
            "--ref",
            support::generate::BRANCH,
            "--repo",
        ])
        .arg(repository);
    let status = command.stdout(Stdio::null()).status()?;
    match status.code() {
        // 1: there are changes; 2: some generated items find no environment, as some real ones do.
        Some(1 | 2) => Ok(start.elapsed()),
        _ => Err(format!("wharf diff ended with {status}").into()),
    }
}

fn median(mut run: impl FnMut() -> Result<Duration, Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut times = (0..RUNS).map(|_| run()).collect::<Result<Vec<_>, _>>()?;
    times.sort();
    times.get(RUNS / 2).copied().ok_or_else(|| "no runs".into())
}

/// Reads `1000` or `1000x40`; without a second number there are 200 environments.
fn sizes(asked: &[String]) -> Result<Vec<(usize, usize)>, Box<dyn Error>> {
    asked
        .iter()
        .map(|text| {
            let (items, environments) = text.split_once('x').unwrap_or((text, "200"));
            let items: usize = items.parse().map_err(|_| format!("{text:?} is no size; write 1000 or 1000x40"))?;
            Ok((items, environments.parse()?))
        })
        .collect()
}

/// A duration for the table.
fn milliseconds(duration: Duration) -> String {
    if duration < Duration::from_millis(10) {
        format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{} ms", duration.as_millis())
    }
}
