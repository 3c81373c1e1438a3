//! Where everything a command says goes: text, one JSON document, or one JSON object a line. What is said is the commands' business.

use std::io::{IsTerminal, Write};

use schemars::JsonSchema;
use serde::Serialize;

use super::error::CliError;
use super::escape;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One document; lists stand under `items`.
    Json,
    /// One object a line.
    Jsonl,
    /// A comment for a pull request; `wharf diff` alone.
    Markdown,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a command speaks.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct OutputFlags {
    /// How results are printed: text, json (one document), jsonl (one object a line); markdown for `wharf diff`.
    #[arg(
        long,
        short = 'o',
        env = "WHARF_OUTPUT",
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        global = true,
        help_heading = "Output",
        hide_env_values = true,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub output: Format,
    /// When colours are used: auto, always or never.
    #[arg(
        long,
        env = "WHARF_COLOR",
        value_enum,
        value_name = "WHEN",
        default_value_t,
        global = true,
        help_heading = "Output",
        hide_env_values = true,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: Color,
}

/// A list of things as one JSON document.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Items<T> {
    /// The things, in the order in which they are shown.
    pub items: Vec<T>,
}

/// Prints in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Takes the flags over, for this printer and for everything else that draws in colour.
    pub fn new(flags: OutputFlags) -> Self {
        match flags.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::AlwaysAnsi,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self { format: flags.output }
    }

    /// The format that was asked for.
    pub const fn format(self) -> Format {
        self.format
    }

    /// Whether people read it.
    pub fn is_text(self) -> bool {
        self.format == Format::Text
    }

    /// Whether somebody watches it as it comes, so that progress may be drawn.
    pub fn is_watched(self) -> bool {
        self.is_text() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Prints one thing.
    pub fn document(self, document: &impl Serialize) -> Result<(), CliError> {
        self.no_markdown()?;
        match self.format {
            Format::Jsonl => self.line(document),
            Format::Text | Format::Json | Format::Markdown => stream(|out| serde_json::to_writer_pretty(out, document)),
        }
    }

    /// Prints a list: `document` is the whole of it, with the things under `items`.
    pub fn list<T: Serialize>(self, document: &impl Serialize, items: &[T]) -> Result<(), CliError> {
        if self.format != Format::Jsonl {
            return self.document(document);
        }
        items.iter().try_for_each(|item| self.document(item))
    }

    /// Prints one thing of a stream: always one line.
    pub fn line(self, thing: &impl Serialize) -> Result<(), CliError> {
        stream(|out| serde_json::to_writer(out, thing))
    }

    /// Prints text for people as it stands, colours and line feeds included.
    pub fn text(self, text: &str) -> Result<(), CliError> {
        self.no_markdown()?;
        print(text)
    }

    /// Prints Markdown.
    pub fn markdown(self, text: &str) -> Result<(), CliError> {
        print(text)
    }

    /// Says something on the side, on standard error.
    pub fn aside(self, text: &str) {
        anstream::eprintln!("{text}");
    }

    fn no_markdown(self) -> Result<(), CliError> {
        if self.format == Format::Markdown {
            return Err(CliError::Usage(
                "--output markdown is for `wharf diff`; expected text, json or jsonl".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Writes JSON and a line feed as it comes: a large document is never held as text.
fn stream(
    write: impl FnOnce(escape::JsonWriter<&mut dyn Write>) -> Result<(), serde_json::Error>,
) -> Result<(), CliError> {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    write(escape::JsonWriter(&mut out)).map_err(|error| match error.io_error_kind() {
        Some(kind) => CliError::Output(kind.into()),
        None => CliError::Unprintable(error),
    })?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(CliError::Output)
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}
