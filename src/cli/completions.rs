//! `wharf completions SHELL`: the script that lets a shell complete commands and flags.

use clap_complete::Shell;

use super::{CliError, Exit, Output};

/// Print the script that lets a shell complete wharf's commands and flags.
///
/// For bash: wharf completions bash > ~/.local/share/bash-completion/completions/wharf
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn execute(self, output: Output) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "wharf", &mut script);
        output.text(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Good)
    }
}
