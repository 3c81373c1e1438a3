//! How long the corridor takes on repositories of several sizes. Arguments: `ITEMS` or `ITEMSxENVIRONMENTS`, any number of them.

mod support;

use std::error::Error;
use std::time::{Duration, Instant};

use support::generate::{commit_one_file, generate};

/// One seed for all runs, so that numbers of two days speak of the same repository.
const SEED: u64 = 1912;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds flags of its own (`--bench`).
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = if asked.is_empty() { vec![(100, 12), (1000, 40)] } else { sizes(&asked)? };
    println!(
        "{:>7} {:>6} {:>8} {:>9} {:>9} {:>10} {:>10}",
        "items", "envs", "files", "MB", "pack MB", "generate", "one file"
    );
    for (items, environments) in sizes {
        let directory = tempfile::tempdir()?;
        let (generated, generating) = timed(|| generate(directory.path(), items, environments, SEED))?;
        let repository = git2::Repository::open_bare(directory.path())?;
        let (_, changing) = timed(|| commit_one_file(&repository, items / 2))?;
        println!(
            "{items:>7} {environments:>6} {:>8} {:>9} {:>9} {:>10} {:>10}  {}",
            generated.files,
            generated.bytes / 1_000_000,
            generated.pack / 1_000_000,
            milliseconds(generating),
            milliseconds(changing),
            generated.commit,
        );
    }
    Ok(())
}

/// Reads `1000` or `1000x40`; without a second number there is an environment to every fifty items, twelve at least.
fn sizes(asked: &[String]) -> Result<Vec<(usize, usize)>, Box<dyn Error>> {
    asked
        .iter()
        .map(|text| {
            let (items, environments) = text.split_once('x').unwrap_or((text, ""));
            let items: usize = items.parse().map_err(|_| format!("{text:?} is no size; write 1000 or 1000x40"))?;
            let environments = if environments.is_empty() { (items / 50).max(12) } else { environments.parse()? };
            Ok((items, environments))
        })
        .collect()
}

/// What a piece of work gives, and how long it took.
fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}

/// A duration for the table.
fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
