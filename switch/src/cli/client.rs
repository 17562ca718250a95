//! One connection to the daemon's socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::protocol::{Reply, Request};

/// A connected client.
pub(super) struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// What came of the next answer.
    line: Vec<u8>,
}

/// Why the daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("no daemon on {0}: the socket does not exist; start it with `weft run`, or name its --socket")]
    Missing(PathBuf),
    #[error("no daemon on {0}: nobody listens on the socket any more; start it with `weft run`")]
    Refused(PathBuf),
    #[error("may not open {0}: join the socket's group, or use sudo")]
    Denied(PathBuf),
    #[error("the daemon on {0} did not answer in time: look at its log, or give it longer with --timeout")]
    Timeout(PathBuf),
    #[error("the daemon on {path} does not answer: {error}; is it stopping?")]
    Io { path: PathBuf, error: io::Error },
    #[error("what answers on {path} is no weft, or another version of it: {error}")]
    Garbage { path: PathBuf, error: serde_json::Error },
}

impl ClientError {
    fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(path),
            io::ErrorKind::ConnectionRefused => Self::Refused(path),
            io::ErrorKind::PermissionDenied => Self::Denied(path),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout(path),
            _ => Self::Io { path, error },
        }
    }
}

impl Client {
    /// Connects; `timeout` holds for each write and read.
    pub(super) fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let failed = |error| ClientError::from_io(path, error);
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(timeout)).map_err(failed)?;
        stream.set_write_timeout(Some(timeout)).map_err(failed)?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned(), line: Vec::new() })
    }

    /// Asks one thing and waits for the answer.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.send(request)?;
        self.receive()?.ok_or_else(|| ClientError::Timeout(self.path.clone()))
    }

    /// Asks one thing; answers come in the order of the questions.
    pub(super) fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let garbage = |error| ClientError::Garbage { path: self.path.clone(), error };
        let mut line = serde_json::to_vec(request).map_err(garbage)?;
        line.push(b'\n');
        let written = self.stream.get_mut().write_all(&line);
        written.map_err(|error| ClientError::from_io(&self.path, error))
    }

    /// The next answer; `None` = it is not there when the time-out ends, and may come later.
    pub(super) fn receive(&mut self) -> Result<Option<Reply>, ClientError> {
        match self.stream.read_until(b'\n', &mut self.line) {
            Ok(0) => Err(ClientError::from_io(&self.path, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                let line = std::mem::take(&mut self.line);
                let garbage = |error| ClientError::Garbage { path: self.path.clone(), error };
                serde_json::from_slice(&line).map(Some).map_err(garbage)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(ClientError::from_io(&self.path, error)),
        }
    }

    /// The connection itself, without time limits, and what was read of it behind the last answer.
    pub(super) fn into_stream(self) -> io::Result<(UnixStream, Vec<u8>)> {
        let read = self.stream.buffer().to_vec();
        let stream = self.stream.into_inner();
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        Ok((stream, read))
    }
}
