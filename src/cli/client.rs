//! Speaks to the wharf that holds the state directory, over its control socket. The other side is `serve::control`.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::CliError;
use crate::config::StateDirectory;
use crate::reconcile::{Answer, Request};

/// A connection to a running wharf.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects to the wharf that holds a state directory. `None` where there is none.
    pub async fn connect(state_dir: &Path) -> Result<Option<Self>, CliError> {
        let path = StateDirectory::socket(state_dir);
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Self(BufReader::new(stream)))),
            // The second is what a killed wharf leaves behind; a path that is too long was refused when it started.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::InvalidInput
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(CliError::File { doing: "connect to", place: path.display().to_string(), source }),
        }
    }

    /// Asks for something and waits for the answer.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, CliError> {
        let mut line = serde_json::to_vec(request).map_err(CliError::Unprintable)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line).await.map_err(CliError::Silent)?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).await.map_err(CliError::Silent)?;
        serde_json::from_str(&answer).map_err(|_| CliError::Silent(io::ErrorKind::UnexpectedEof.into()))
    }
}
