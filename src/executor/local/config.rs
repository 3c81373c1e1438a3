//! What the operator says about this host: plain values, checked by whoever reads flags and files. Nothing is read here.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::model::Instance;

/// The ports that items get unless the operator names others.
pub const DEFAULT_PORTS: RangeInclusive<u16> = 41000..=41999;
/// Whom content becomes when Wharf runs as root: the number that most systems use for "nobody in particular".
pub const DEFAULT_USER: u32 = 65532;

/// Whom content becomes (`local.user`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserMode {
    /// As root: [`DEFAULT_USER`] if that user can reach the data directory and an interpreter, else the same as Wharf,
    /// with a warning. Not as root: the same as Wharf.
    #[default]
    Auto,
    /// The same user as Wharf.
    Same,
    /// This user and group id; an error where that cannot be.
    Number(u32),
}

/// What the executor is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To run things: takes the data directory for itself, clears what a killed process left, starts what it did not
    /// come to start, and brings back addresses that went down.
    #[default]
    Drive,
    /// To look: changes nothing, starts nothing, and a data directory that is not there yet is an empty one.
    Observe,
    /// To end everything: like `Drive`, but starts nothing.
    End,
}

impl Purpose {
    /// Whether the data directory is this process's own, so that it may clear up in it.
    pub(super) const fn owns(self) -> bool {
        !matches!(self, Self::Observe)
    }
}

/// The program that does a job; the job's directory is added as the last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionProgram {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// What comes before the job's directory: `["session"]` for the `wharf` binary, nothing for `wharf-session`.
    pub arguments: Vec<String>,
}

/// How jobs run on this host.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// What it is opened for.
    pub purpose: Purpose,
    /// `--data-dir`, absolute.
    pub data_dir: PathBuf,
    /// `--state-dir`, absolute; what was found out about interpreters is kept there.
    pub state_dir: PathBuf,
    /// Whose data directory it has to be.
    pub instance: Instance,
    /// What does a job; this program itself where nothing is said.
    pub session: Option<SessionProgram>,
    /// `--secrets-dir`: files `NAME/KEY`, as a mounted Kubernetes Secret has them.
    pub secrets_dir: Option<PathBuf>,
    /// Whom content becomes.
    pub user: UserMode,
    /// Where items listen. Their processes listen on the loopback address, behind them.
    pub address: IpAddr,
    /// The ports of items.
    pub ports: RangeInclusive<u16>,
    /// The interpreters that may be used, absolute paths; without them the host is searched.
    pub interpreters: Option<Vec<PathBuf>>,
    /// Whether an item that asks for an image is an error on this host. Not used here; the reader of `candidates` asks.
    pub require_image_match: bool,
    /// Where static and rendered items are served, `http://127.0.0.1:8710`; `None` while nothing serves them.
    pub serve_base_url: Option<String>,
    /// A program that wraps every content process, absolute.
    pub supervisor: Option<PathBuf>,
    /// Builds at once; without it half the cores, at least one.
    pub builds_at_once: Option<usize>,
}

impl LocalConfig {
    /// The defaults, for a pair of directories and an instance.
    pub fn new(data_dir: PathBuf, state_dir: PathBuf, instance: Instance) -> Self {
        Self {
            purpose: Purpose::Drive,
            data_dir,
            state_dir,
            instance,
            session: None,
            secrets_dir: None,
            user: UserMode::Auto,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: DEFAULT_PORTS,
            interpreters: None,
            require_image_match: false,
            serve_base_url: None,
            supervisor: None,
            builds_at_once: None,
        }
    }

    /// How many builds run at once.
    pub(super) fn build_slots(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.builds_at_once.unwrap_or_else(|| cores() / 2).max(1)
    }
}
