//! Starts the reconciler's loop in this process, with its control socket and signals. What is shown of it: `progress.rs`.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{CliError, Context};
use crate::config::StateDirectory;
use crate::reconcile::{Answer, Command, Daemon, Ended, Reconciler, Request, Seen, Wakes};
use crate::serve::control;

/// Requests that wait while a pass is under way.
const WAITING_REQUESTS: usize = 16;
/// The exit code after a second interrupt, as a shell gives it.
const INTERRUPTED: i32 = 130;

/// A running loop.
pub struct Engine {
    /// What the loop shows after every pass.
    pub seen: watch::Receiver<Seen>,
    /// Ends the loop after the operation in hand.
    pub cancel: CancellationToken,
    daemon: JoinHandle<Ended>,
    control: JoinHandle<()>,
}

impl Engine {
    /// Starts the loop. `lock` says that this process may: it holds the state directory.
    pub fn start(
        context: &Context,
        lock: &StateDirectory,
        reconciler: Reconciler,
        wakes: impl Wakes + 'static,
    ) -> Result<Self, CliError> {
        debug_assert_eq!(lock.path(), context.config.state_dir);
        let socket = StateDirectory::socket(lock.path());
        let failed = |source| CliError::File { doing: "listen on", place: socket.display().to_string(), source };
        let control = control::listen(&socket).map_err(failed)?;
        let cancel = CancellationToken::new();
        let (commands, requests) = mpsc::channel(WAITING_REQUESTS);
        let (shown, seen) = watch::channel(Seen::default());
        let control = tokio::spawn(control.serve(commands.clone(), seen.clone(), cancel.clone()));
        tokio::spawn(obey(Signals::listen().map_err(CliError::Runtime)?, commands, cancel.clone()));
        let daemon = Daemon::new(reconciler, wakes, requests, shown);
        let ending = cancel.clone();
        // A thread of its own: a pass works on the processor for a while when a large commit comes in.
        let runtime = tokio::runtime::Handle::current();
        let daemon = tokio::task::spawn_blocking(move || runtime.block_on(daemon.run(&ending)));
        Ok(Self { seen, cancel, daemon, control })
    }

    /// Waits for the loop's end.
    pub async fn ended(self) -> Result<Ended, CliError> {
        let ended = self.daemon.await;
        // The socket goes with the loop, after its last answer.
        self.cancel.cancel();
        let _ = self.control.await;
        ended.map_err(|_| CliError::Broken)
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. True asks for the end.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.hang_up.recv() => false,
        }
    }
}

/// The first request to end ends the loop, the second one the process: the next start looks what happened.
async fn obey(mut signals: Signals, commands: mpsc::Sender<Command>, cancel: CancellationToken) {
    loop {
        if !signals.next().await {
            let (reply, _) = oneshot::channel::<Answer>();
            // A loop that is ending looks at nothing any more.
            let _ = commands.send(Command { request: Request::Reconcile { item: None }, reply }).await;
        } else if cancel.is_cancelled() {
            std::process::exit(INTERRUPTED);
        } else {
            cancel.cancel();
        }
    }
}
