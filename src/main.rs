//! The program `wharf`: hands its arguments to the command line and gives its exit code back. Nothing is decided here.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf::cli::main()
}
