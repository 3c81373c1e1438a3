//! The program's own log, on standard error. Jobs' logs and what commands print are elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged where nothing is said.
const DEFAULT: &str = "wharf=warn,error";

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One line an event, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogFlags {
    /// What the program says about its own work: error, warn, info, debug, or a filter such as wharf::source=debug.
    #[arg(
        long,
        env = "WHARF_LOG",
        value_name = "FILTER",
        global = true,
        help_heading = "Output",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub log: Option<String>,
    /// How the log is written: text or json.
    #[arg(
        long,
        env = "WHARF_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        global = true,
        help_heading = "Output",
        hide_env_values = true,
        hide_possible_values = true,
        hide_default_value = true,
        hide_short_help = true
    )]
    pub log_format: LogFormat,
}

/// A filter that is not one.
#[derive(Debug, thiserror::Error)]
#[error("expected a log filter such as info or wharf::source=debug, found {found:?}: {problem}")]
pub struct FilterError {
    found: String,
    problem: String,
}

/// Starts logging. Called once, before anything can be logged.
pub fn start(flags: &LogFlags) -> Result<(), FilterError> {
    let text = flags.log.as_deref().unwrap_or(DEFAULT);
    // A bare level speaks of this program; its libraries stay at warnings.
    let text = match text {
        "error" | "warn" | "info" | "debug" | "trace" => format!("warn,wharf={text}"),
        filter => filter.to_owned(),
    };
    let wrong = |problem: String| FilterError { found: text.clone(), problem };
    let filter = EnvFilter::builder().parse(&text).map_err(|error| wrong(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match flags.log_format {
        LogFormat::Text => builder.with_ansi(colours).with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
