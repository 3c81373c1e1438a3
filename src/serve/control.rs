//! The control socket: other processes of the same user ask the daemon for things, one JSON object a line. What is known already
//! is answered here, also during a pass; what is to be done is done by the reconciler.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plan::PlanDocument;
use crate::reconcile::{Answer, Command, Request, Seen};

/// The longest request, in bytes.
const LONGEST_REQUEST: u64 = 64 << 10;
/// How long somebody who connected may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long answers that are being written may take when everything ends.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What the system allows for the path of a socket, in bytes.
const LONGEST_PATH: usize = 107;

/// Listens at a path. Whoever calls this holds the lock of the state directory, so a socket that is there is a leftover.
pub fn listen(path: &Path) -> io::Result<Control> {
    if path.as_os_str().len() > LONGEST_PATH {
        let problem = format!("the path of a socket has at most {LONGEST_PATH} bytes; choose a shorter --state-dir");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(Control { listener, path: path.to_owned() })
}

/// A control socket that is open. It is removed with this value.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that stays is taken for a leftover by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Control {
    /// Answers until it is cancelled, and then finishes what it is answering.
    pub async fn serve(self, commands: mpsc::Sender<Command>, seen: watch::Receiver<Seen>, cancel: CancellationToken) {
        let conversations = TaskTracker::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        conversations.spawn(converse(stream, commands.clone(), seen.clone(), cancel.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the control socket failed");
                        // Too many open files: asking again at once would only keep the processor busy.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
        // Whoever asked for the end hears that it was done.
        drop((self, commands));
        conversations.close();
        let _ = tokio::time::timeout(LAST_WORDS, conversations.wait()).await;
    }
}

/// One connection: request, answer, until either side has enough.
async fn converse(
    stream: UnixStream,
    commands: mpsc::Sender<Command>,
    seen: watch::Receiver<Seen>,
    cancel: CancellationToken,
) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LONGEST_REQUEST);
        let read = tokio::select! {
            () = cancel.cancelled() => return,
            read = tokio::time::timeout(PATIENCE, limited.read_until(b'\n', &mut line)) => read,
        };
        match read {
            Ok(Ok(length)) if length > 0 => {}
            _ => return,
        }
        let answer = answer(&line, &commands, &seen).await;
        let Ok(mut text) = serde_json::to_vec(&answer) else { return };
        text.push(b'\n');
        if writer.write_all(&text).await.is_err() {
            return;
        }
    }
}

async fn answer(line: &[u8], commands: &mpsc::Sender<Command>, seen: &watch::Receiver<Seen>) -> Answer {
    let request: Request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("the request is not understood: {error}; is the other wharf of the same version?");
            return Answer::Refused { message };
        }
    };
    if let Some(answer) = known(&request, seen) {
        return answer;
    }
    let (reply, answer) = oneshot::channel();
    let ending = || Answer::Refused { message: "this wharf is ending; try again".to_owned() };
    if commands.send(Command { request, reply }).await.is_err() {
        return ending();
    }
    answer.await.unwrap_or_else(|_| ending())
}

/// The answer to a question about what the last pass showed; `None` for what the reconciler has to do.
fn known(request: &Request, seen: &watch::Receiver<Seen>) -> Option<Answer> {
    let status = seen.borrow().status.clone();
    match request {
        Request::Status => Some(Answer::Document { document: status.document() }),
        Request::Plan => {
            Some(match status.plan.as_deref().map(|plan| serde_json::to_value(PlanDocument::from(plan))) {
                Some(Ok(document)) => Answer::Document { document },
                Some(Err(error)) => Answer::Refused { message: format!("the plan cannot be written as JSON: {error}") },
                None => Answer::Refused { message: "there is no plan yet; try again in a moment".to_owned() },
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::Status;

    async fn ask(stream: &mut BufReader<UnixStream>, request: &str) -> Answer {
        stream.get_mut().write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let mut line = String::new();
        tokio::time::timeout(Duration::from_secs(30), stream.read_line(&mut line)).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[tokio::test]
    async fn what_is_known_is_told_while_the_loop_is_busy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (cancel, (commands, mut requests)) = (CancellationToken::new(), mpsc::channel(1));
        let (shown, seen) = watch::channel(Seen::default());
        let server = tokio::spawn(listen(&path).unwrap().serve(commands, seen, cancel.clone()));
        let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
        // Nobody takes requests: the loop is in a pass.
        let newest = |answer: Answer| match answer {
            Answer::Document { document } => document["refusal"].clone(),
            other => panic!("{other:?}"),
        };
        assert!(newest(ask(&mut stream, r#"{"request":"status"}"#).await).is_null());
        let refusal = Some("it was rewound".to_owned());
        shown.send_modify(|seen| seen.status = std::sync::Arc::new(Status { refusal, ..Status::default() }));
        assert_eq!(newest(ask(&mut stream, r#"{"request":"status"}"#).await), "it was rewound");
        let plan = ask(&mut stream, r#"{"request":"plan"}"#).await;
        assert!(matches!(&plan, Answer::Refused { message } if message.contains("no plan yet")), "{plan:?}");
        assert!(requests.try_recv().is_err(), "the loop was not asked");
        cancel.cancel();
        server.await.unwrap();
    }
}
