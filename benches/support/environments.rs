//! Environment files of a made-up repository, in three of the forms people have. Which item fits which is not known here.

use std::fmt::Write as _;

use super::random::Random;

/// Python series that items ask for; the first environments cover each of them.
pub const PYTHON_SERIES: &[u64] = &[9, 10, 11, 12, 13];

/// R series that items ask for, as the second number after 4.
pub const R_SERIES: &[u64] = &[1, 2, 3, 4, 5];

/// How many entries one file holds.
const ENTRIES_A_FILE: usize = 20;

/// All environment files as (path, content).
pub fn files(count: usize, seed: u64) -> Vec<(String, String)> {
    let indexes: Vec<usize> = (0..count).collect();
    let pages = indexes.chunks(ENTRIES_A_FILE).enumerate();
    pages.map(|(page, entries)| (format!("environments/{page:03}.yaml"), file(page, entries, seed))).collect()
}

/// One file: a plain list, the older `images:` map or Helm values, by turns.
fn file(page: usize, entries: &[usize], seed: u64) -> String {
    let (head, indent) = match page % 3 {
        0 => ("", ""),
        1 => ("name: Kubernetes\nimages:\n", "  "),
        _ => ("replicas: 1\nexecutionEnvironments:\n", "  "),
    };
    let mut text = head.to_owned();
    for index in entries {
        for line in entry(*index, seed).lines() {
            text.push_str(indent);
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// One entry of the list. The first ones take part in every selection, so that hardly any item finds nothing.
fn entry(index: usize, seed: u64) -> String {
    let mut random = Random::at(seed ^ 0xE47, index);
    let python = PYTHON_SERIES[index % PYTHON_SERIES.len()];
    let r = R_SERIES[index % R_SERIES.len()];
    let covering = index < PYTHON_SERIES.len();
    let mut text = format!("- name: registry.example/content:r4.{r}-py3.{python}-{index:04}\n");
    let _ = writeln!(text, "  title: R 4.{r}, Python 3.{python}, number {index}");
    if !covering && random.chance(5) {
        text.push_str("  matching: exact\n");
    } else if !covering && random.chance(2) {
        text.push_str("  matching: none\n");
    }
    let second = *random.pick(PYTHON_SERIES);
    let mut pythons = vec![format!("3.{python}.{}", random.between(0, 12))];
    if second != python && random.chance(60) {
        pythons.push(format!("3.{second}.{}", random.between(0, 12)));
    }
    installations(&mut text, "python", &pythons, "bin/python3");
    if covering || random.chance(80) {
        installations(&mut text, "r", &[format!("4.{r}.{}", random.between(0, 3))], "bin/R");
    }
    if covering || random.chance(70) {
        let version = format!("1.{}.{}", random.between(3, 7), random.between(10, 550));
        installations(&mut text, "quarto", &[version], "bin/quarto");
    }
    text
}

/// The block of one language.
fn installations(text: &mut String, language: &str, versions: &[String], program: &str) {
    let _ = writeln!(text, "  {language}:\n    installations:");
    for version in versions {
        let directory = if language == "r" { "R" } else { language };
        let _ = writeln!(text, "      - version: {version}\n        path: /opt/{directory}/{version}/{program}");
    }
}
