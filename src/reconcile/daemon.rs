//! The loop of `wharf run` and `wharf apply`: something wakes it, one pass, again. What a pass does is `mod.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::requests::{Answer, Request};
use super::{Pass, PassError, Reconciler, Status};

/// How long after a failed pass the next one starts, when nothing else wakes it.
const AFTER_ERROR: SignedDuration = SignedDuration::from_secs(15);

/// Says when the source is worth another look.
#[async_trait]
pub trait Wakes: Send + Sync {
    /// Waits for a change, or for the next poll, which is later after failures.
    async fn woken(&self, failures: u32);
}

/// A request and where its answer goes.
#[derive(Debug)]
pub struct Command {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// What the outside sees of the loop after every pass.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What is known.
    pub status: Arc<Status>,
    /// What the last pass did and found; `None` before the first and after a failed one.
    pub pass: Option<Arc<Pass>>,
    /// Why the last pass failed.
    pub error: Option<String>,
    /// How many passes there were.
    pub passes: u64,
}

/// The loop and what it listens to.
pub struct Daemon<W> {
    reconciler: Reconciler,
    wakes: Arc<W>,
    /// The wait for the source. It outlives passes and requests: waking for those must not put the next poll off.
    waiting: Option<BoxFuture<'static, ()>>,
    commands: mpsc::Receiver<Command>,
    seen: watch::Sender<Seen>,
    next_wake: Option<Timestamp>,
}

/// Why the loop was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was cancelled: a signal, or nothing is left to do.
    Cancelled,
    /// Everything was ended by `wharf down`.
    Down,
}

impl<W: Wakes + 'static> Daemon<W> {
    /// A loop around a reconciler.
    pub fn new(reconciler: Reconciler, wakes: W, commands: mpsc::Receiver<Command>, seen: watch::Sender<Seen>) -> Self {
        let wakes = Arc::new(wakes);
        Self { reconciler, wakes, waiting: None, commands, seen, next_wake: None }
    }

    /// Passes until it is cancelled. What runs goes on running.
    pub async fn run(mut self, cancel: &CancellationToken) -> Ended {
        let mut events = self.reconciler.executor_events();
        loop {
            events.mark_unchanged();
            let again = self.pass(cancel).await;
            if cancel.is_cancelled() {
                return Ended::Cancelled;
            }
            if again {
                continue;
            }
            let pause = self.pause();
            let mut waiting = self.waiting();
            let woken = tokio::select! {
                () = cancel.cancelled() => return Ended::Cancelled,
                command = self.commands.recv() => match command {
                    Some(command) => if self.answer(command).await { return Ended::Down } else { false },
                    None => return Ended::Cancelled,
                },
                () = &mut waiting => true,
                changed = events.changed() => if changed.is_err() { return Ended::Cancelled } else { false },
                () = tokio::time::sleep(pause) => false,
            };
            if woken {
                self.reconciler.look_again();
            } else {
                self.waiting = Some(waiting);
            }
        }
    }

    /// One pass, which a new commit cuts short. Gives whether another one is due at once.
    async fn pass(&mut self, cancel: &CancellationToken) -> bool {
        let cut_short = cancel.child_token();
        let failures = self.reconciler.status().source_failures;
        let mut waiting = self.waiting();
        let (result, woken) = {
            let pass = self.reconciler.pass(&cut_short);
            tokio::pin!(pass);
            let mut woken = false;
            loop {
                tokio::select! {
                    result = &mut pass => break (result, woken),
                    () = &mut waiting, if !woken => {
                        // The pass ends what it has begun; the next one sees the newest commit.
                        woken = true;
                        cut_short.cancel();
                    }
                }
            }
        };
        let again = self.tell(result);
        if woken {
            self.reconciler.look_again();
        } else if self.reconciler.status().source_failures == failures {
            self.waiting = Some(waiting);
        }
        again || woken
    }

    /// The wait that is under way, or a new one.
    fn waiting(&mut self) -> BoxFuture<'static, ()> {
        let (wakes, failures) = (Arc::clone(&self.wakes), self.reconciler.status().source_failures);
        self.waiting.take().unwrap_or_else(|| Box::pin(async move { wakes.woken(failures).await }))
    }

    /// Shows what a pass came to. Gives whether another one is due at once.
    fn tell(&mut self, result: Result<Pass, PassError>) -> bool {
        let status = self.reconciler.status().clone();
        let (pass, error, again) = match result {
            Ok(pass) => {
                self.next_wake = pass.next_wake;
                let again = pass.applied.progressed;
                (Some(Arc::new(pass)), None, again)
            }
            Err(error) => {
                tracing::warn!(%error, "a pass failed");
                self.next_wake = self.reconciler.now().checked_add(AFTER_ERROR).ok();
                (None, Some(error.to_string()), false)
            }
        };
        self.seen.send_modify(|seen| {
            let passes = seen.passes + 1;
            *seen = Seen { status: Arc::new(status), pass, error, passes };
        });
        again
    }

    fn pause(&self) -> std::time::Duration {
        let until = self.next_wake.map(|time| time.duration_since(self.reconciler.now()));
        let far = std::time::Duration::from_hours(1);
        until.map_or(far, |until| std::time::Duration::try_from(until).unwrap_or_default().min(far))
    }

    /// Answers a request. Gives whether the loop is to be left.
    async fn answer(&mut self, command: Command) -> bool {
        let down = matches!(command.request, Request::Down);
        let answer = self.reconciler.handle(command.request).await;
        let done = matches!(answer, Answer::Done { .. });
        // Whoever asked may be gone; what was asked was done all the same.
        let _ = command.reply.send(answer);
        down && done
    }
}
