//! `wharf open ITEM`: an item's address, printed, and shown by the desktop's browser where there is one.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::state;
use super::style::{ACCENT, paint};
use super::world::World;
use super::{CliError, Context, Exit};
use crate::executor::Executor as _;

/// Print an item's address, and open it in a browser if there is a desktop.
#[derive(Debug, clap::Args)]
pub struct Open {
    /// The item.
    item: String,
    /// Print it and open nothing.
    #[arg(long)]
    print: bool,
}

/// What `wharf open --output json` prints.
#[derive(Debug, Serialize)]
struct Address<'a> {
    item: &'a str,
    url: &'a str,
}

impl Open {
    /// Looks the address up.
    pub async fn execute(self, context: &Context) -> Result<Exit, CliError> {
        let world = World::observe(context).await?;
        let states = state::items(&*world.registry.view().await?, &*world.executor.view().await?);
        let found = states.iter().find(|state| state.item == self.item);
        let Some(state) = found else {
            return Err(CliError::NoItem { found: self.item, near: Vec::new() });
        };
        let Some(url) = &state.url else {
            let message = format!("{} has no address yet: it is {}", state.item, state.state.word());
            return Err(CliError::Refused { message });
        };
        if !context.output.is_text() {
            context.output.document(&Address { item: &state.item, url })?;
            return Ok(Exit::Good);
        }
        context.output.text(&format!("{}\n", paint(ACCENT, url)))?;
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
        if desktop && !self.print && std::io::stdout().is_terminal() {
            let mut browser = Command::new("xdg-open");
            let started = browser.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            if let Err(error) = started {
                context.output.aside(&format!("no browser could be opened ({error}); open the address yourself"));
            }
        }
        Ok(Exit::Good)
    }
}
