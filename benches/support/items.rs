//! Content items of a made-up repository: manifests as publishing tools write them, and sources to go with them. No Git.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use super::environments::{PYTHON_SERIES, R_SERIES};
use super::random::Random;

/// The files of one item, by path below its directory.
pub type Files = BTreeMap<String, String>;

/// Kinds of item and how many of a hundred are of it.
const KINDS: &[(Kind, u64)] = &[
    (Kind::Fastapi, 20),
    (Kind::PythonShiny, 14),
    (Kind::Streamlit, 12),
    (Kind::Flask, 8),
    (Kind::Notebook, 7),
    (Kind::Shiny, 17),
    (Kind::RMarkdown, 7),
    (Kind::Quarto, 10),
    (Kind::Static, 5),
];

const WORDS: &[&str] =
    &["tides", "lights", "buoys", "wind", "swell", "cargo", "ferries", "pilots", "berths", "customs", "cranes", "fish"];

const PYTHON_PACKAGES: &[&str] = &["pandas", "numpy", "requests", "pydantic", "httpx", "plotly", "polars", "jinja2"];

/// CRAN packages whose blocks a manifest repeats in full.
const R_PACKAGES: &[&str] = &[
    "R6",
    "Rcpp",
    "askpass",
    "base64enc",
    "bslib",
    "cachem",
    "cli",
    "colorspace",
    "commonmark",
    "cpp11",
    "digest",
    "dplyr",
    "evaluate",
    "fansi",
    "fastmap",
    "fontawesome",
    "fs",
    "generics",
    "ggplot2",
    "glue",
    "gtable",
    "highr",
    "htmltools",
    "httpuv",
    "jquerylib",
    "jsonlite",
    "knitr",
    "later",
    "lifecycle",
    "magrittr",
    "memoise",
    "mime",
    "pillar",
    "promises",
    "purrr",
    "rlang",
    "rmarkdown",
    "sass",
    "scales",
    "shiny",
    "stringr",
    "tibble",
    "tidyr",
    "tidyselect",
    "vctrs",
    "withr",
    "xtable",
    "yaml",
];

#[derive(Clone, Copy)]
enum Kind {
    Fastapi,
    PythonShiny,
    Streamlit,
    Flask,
    Notebook,
    Shiny,
    RMarkdown,
    Quarto,
    Static,
}

/// Where an item lives: a hundred to a team, so that no directory is endless.
pub fn directory(index: usize) -> String {
    let word = WORDS[index % WORDS.len()];
    format!("content/team-{:03}/{word}-{index:05}", index / 100)
}

/// All files of the item with this index.
pub fn files(index: usize, seed: u64) -> Files {
    let mut random = Random::at(seed, index);
    let kind = draw(&mut random);
    let mut files = sources(kind, index, &mut random);
    if random.chance(40) {
        files.insert("content.yaml".to_owned(), settings(kind, index, &mut random));
    }
    let manifest = manifest(kind, &files, &mut random);
    files.insert("manifest.json".to_owned(), format!("{manifest:#}\n"));
    files
}

/// A kind, as often as [`KINDS`] says.
fn draw(random: &mut Random) -> Kind {
    let mut left = random.below(100);
    for (kind, share) in KINDS {
        if left < *share {
            return *kind;
        }
        left -= share;
    }
    Kind::Static
}

impl Kind {
    /// The appmode, and the file that starts it with the object in it where there is one.
    fn start(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Fastapi => ("python-fastapi", "app:app", "app.py"),
            Self::PythonShiny => ("python-shiny", "app:app", "app.py"),
            Self::Streamlit => ("python-streamlit", "app.py", "app.py"),
            Self::Flask => ("python-api", "app", "app.py"),
            Self::Notebook => ("jupyter-static", "report.ipynb", "report.ipynb"),
            Self::Shiny => ("shiny", "", "app.R"),
            Self::RMarkdown => ("rmd-static", "report.Rmd", "report.Rmd"),
            Self::Quarto => ("quarto-static", "report.qmd", "report.qmd"),
            Self::Static => ("static", "index.html", "index.html"),
        }
    }

    fn is_python(self) -> bool {
        matches!(self, Self::Fastapi | Self::PythonShiny | Self::Streamlit | Self::Flask | Self::Notebook)
    }

    fn is_r(self) -> bool {
        matches!(self, Self::Shiny | Self::RMarkdown)
    }
}

/// The source files: one that starts the item, the package file, and one to three more.
fn sources(kind: Kind, index: usize, random: &mut Random) -> Files {
    let (_, _, main) = kind.start();
    let mut files = Files::new();
    files.insert(main.to_owned(), source(main, index, 40, random));
    if kind.is_python() {
        files.insert("requirements.txt".to_owned(), requirements(kind, random));
        if random.chance(60) {
            files.insert("data.py".to_owned(), source("data.py", index, 80, random));
        }
    }
    if kind.is_r() {
        files.insert("R/helpers.R".to_owned(), source("helpers.R", index, 60, random));
    }
    if random.chance(50) {
        files.insert("www/style.css".to_owned(), format!("body {{ margin: {}px }}\n", random.below(8)));
    }
    if random.chance(50) {
        files.insert("README.md".to_owned(), format!("# Item {index}\n\nPart of the harbour's daily work.\n"));
    }
    files
}

/// A text of so many lines that looks like work.
fn source(name: &str, index: usize, lines: u64, random: &mut Random) -> String {
    let mut text = format!("# {name} of item {index}\n");
    for line in 0..lines {
        let _ = writeln!(text, "height_{line} = {} + {} * tide", random.below(1000), random.below(1000));
    }
    text
}

fn requirements(kind: Kind, random: &mut Random) -> String {
    let framework = match kind {
        Kind::Fastapi => "fastapi",
        Kind::PythonShiny => "shiny",
        Kind::Streamlit => "streamlit",
        Kind::Flask => "flask",
        _ => "nbconvert",
    };
    // Few distinct texts: items share package environments in real life too.
    format!("{framework}>=1\n{}=={}.0\n", random.pick(PYTHON_PACKAGES), random.between(1, 3))
}

/// The deployment settings. Only what answers HTTP has processes to speak of.
fn settings(kind: Kind, index: usize, random: &mut Random) -> String {
    let tag = random.pick(WORDS);
    let mut text =
        format!("title: Item {index}\ndescription: What the office reads at breakfast.\ntags: [harbour, {tag}]\n");
    if matches!(kind, Kind::Fastapi | Kind::PythonShiny | Kind::Streamlit | Kind::Flask | Kind::Shiny) {
        let _ = write!(text, "min_processes: {}\nenv:\n  LEVEL: \"{}\"\n", random.between(0, 2), random.below(10));
    }
    text
}

/// The manifest, with the checksum of every file.
fn manifest(kind: Kind, files: &Files, random: &mut Random) -> Value {
    let (appmode, entrypoint, main) = kind.start();
    let mut manifest = Map::new();
    manifest.insert("version".to_owned(), json!(1));
    manifest.insert("locale".to_owned(), json!("en_US.UTF-8"));
    manifest.insert("metadata".to_owned(), metadata(kind, appmode, entrypoint, main));
    if kind.is_python() {
        python(&mut manifest, random);
    }
    if kind.is_r() {
        manifest.insert("platform".to_owned(), json!(r_version(random)));
        manifest.insert("packages".to_owned(), packages(random));
    }
    if matches!(kind, Kind::Quarto) {
        let version = format!("1.{}.{}", random.between(3, 7), random.between(10, 550));
        let engine = if random.chance(50) { "knitr" } else { "markdown" };
        manifest.insert("platform".to_owned(), json!(r_version(random)));
        manifest.insert("quarto".to_owned(), json!({ "version": version, "engines": [engine] }));
    }
    let listed: Map<String, Value> =
        files.iter().map(|(path, text)| (path.clone(), json!({ "checksum": checksum(text) }))).collect();
    manifest.insert("files".to_owned(), Value::Object(listed));
    Value::Object(manifest)
}

fn metadata(kind: Kind, appmode: &str, entrypoint: &str, main: &str) -> Value {
    match kind {
        Kind::RMarkdown | Kind::Quarto => json!({ "appmode": appmode, "primary_rmd": main, "has_parameters": false }),
        Kind::Shiny => json!({ "appmode": appmode, "primary_rmd": null, "has_parameters": false }),
        Kind::Static => json!({ "appmode": appmode, "primary_html": main }),
        _ => json!({ "appmode": appmode, "entrypoint": entrypoint }),
    }
}

/// The Python block; a third say a range, and one in two hundred asks for what nobody has.
fn python(manifest: &mut Map<String, Value>, random: &mut Random) {
    let series = random.pick(PYTHON_SERIES);
    let version = format!("3.{series}.{}", random.between(0, 12));
    let package_manager = json!({ "name": "pip", "version": "24.0", "package_file": "requirements.txt" });
    manifest.insert("python".to_owned(), json!({ "version": version, "package_manager": package_manager }));
    if random.below(200) == 0 {
        manifest.insert("environment".to_owned(), json!({ "python": { "requires": ">=3.99" } }));
    } else if random.chance(33) {
        let requires = format!(">=3.{series},<4");
        manifest.insert("environment".to_owned(), json!({ "python": { "requires": requires } }));
    }
}

fn r_version(random: &mut Random) -> String {
    format!("4.{}.{}", random.pick(R_SERIES), random.between(0, 3))
}

/// Twenty to forty blocks, each with what its DESCRIPTION says: most of the bytes of a real repository are these.
fn packages(random: &mut Random) -> Value {
    let mut packages = Map::new();
    for _ in 0..random.between(20, 40) {
        let name = *random.pick(R_PACKAGES);
        let version = format!("{}.{}.{}", random.below(3), random.below(10), random.below(10));
        let description = json!({
            "Package": name, "Type": "Package", "Version": version, "Title": "What it does, in title case",
            "Description": "One paragraph that says what the package does, for whom, and which method it follows.",
            "License": "MIT + file LICENSE", "Imports": "methods, stats, utils, rlang (>= 1.1.0)", "Encoding": "UTF-8",
            "NeedsCompilation": "yes", "Packaged": "2025-01-18 10:00:00 UTC; builder", "Repository": "CRAN",
        });
        let block = json!({ "Source": "CRAN", "Repository": "https://cran.example.org", "description": description });
        packages.insert(name.to_owned(), block);
    }
    Value::Object(packages)
}

/// MD5 in hexadecimal, as manifests have it.
fn checksum(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
