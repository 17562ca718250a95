//! The Unix socket that commands and scripts talk to: JSON lines, see [`super::protocol`].
//!
//! The socket belongs to the daemon's user and group (mode 0660, directory 0750): whoever may open it may ask, and only
//! root and the daemon's own user may change anything, or see what pods send. A connection that does nothing for [`TIMEOUT`] is closed, so
//! that [`MAX_CLIENTS`] idle ones cannot keep others out for long.
//!
//! Requests become [`Call`]s on a channel; whoever owns [`super::Control`] answers them, one after the other.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::protocol::{ErrorReply, Reply, Request};
use crate::log::say;

/// The longest request, in octets, its newline included.
pub const MAX_REQUEST: usize = 1 << 20;
/// How long a client may take to send a request, and to take the next piece of a reply.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// The most clients at a time.
pub const MAX_CLIENTS: usize = 64;
/// Requests that may wait for the control thread: one a client, as each waits for its reply.
pub const QUEUE: usize = MAX_CLIENTS;

/// One request on its way to the owner of [`super::Control`], and the way back of its reply.
#[derive(Debug)]
pub struct Call {
    /// What the client asks.
    pub request: Request,
    /// Where the answer goes; the client may be gone by then.
    pub reply: oneshot::Sender<Reply>,
    /// The connection, of a request that takes it over.
    pub connection: Option<std::os::unix::net::UnixStream>,
}

/// The bound socket; dropping it removes the file, if it is still this one.
#[derive(Debug)]
pub struct Api {
    listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

/// Why the socket could not be made; nothing was changed then, but for a missing directory.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers on it.
    #[error(
        "another weft runs and answers on {0}: stop it, or give this one its own socket ([node] socket in the \
         configuration)"
    )]
    InUse(PathBuf),
    /// A file that is no socket has the name.
    #[error("{0} exists and is no socket: remove it, or change [node] socket in the configuration")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error(
        "cannot make the socket {path}: {error}; run weft as root, or let [node] socket name a directory that this user \
         may write to"
    )]
    Io {
        /// The socket or its directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Api {
    /// Makes the socket, and its directory if that is missing; a socket that nobody answers on any more is replaced.
    ///
    /// # Errors
    ///
    /// [`BindError`]: the socket is in use, is no socket, or could not be made.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |error| BindError::Io { path: path.to_owned(), error };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(parent).map_err(failed)?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        let identity = identity(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), identity })
    }

    /// Serves clients until the receiver of `calls` is gone.
    pub async fn serve(&self, calls: mpsc::Sender<Call>) {
        let free = Arc::new(Semaphore::new(MAX_CLIENTS));
        while !calls.is_closed() {
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        say!(ApiAccept, reason = %error, "cannot accept a client; trying again in 100 ms");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = calls.closed() => return,
            };
            match free.clone().try_acquire_owned() {
                Ok(slot) => {
                    let calls = calls.clone();
                    tokio::spawn(async move {
                        if let Err(error) = Client::new(stream).run(&calls).await {
                            say!(ApiClientGone, reason = %error, "an API client went away");
                        }
                        drop(slot);
                    });
                }
                Err(_) => refuse(&stream),
            }
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Best effort: the next start replaces a socket that nobody answers on.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

/// Makes way for a new socket, unless somebody still answers on the old one.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Io { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(failed(error)),
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}

/// Tells one client too many so, without waiting for it.
fn refuse(stream: &UnixStream) {
    let reply = ErrorReply::failed(format!(
        "{MAX_CLIENTS} clients are connected, which is the limit: try again later"
    ));
    let _ = stream.try_write(encode(&reply.into()).as_slice());
}

/// The line of a reply.
pub(crate) fn encode(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).unwrap_or_else(|error| {
        say!(ReplyUnwritable, reason = %error, "a reply cannot be written as JSON");
        br#"{"schema":"weft.error/1","code":"failed","message":"the reply cannot be written as JSON"}"#
            .to_vec()
    });
    line.push(b'\n');
    line
}

/// One connection.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// Whether it may change anything, and see what pods send.
    trusted: bool,
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let trusted = stream.peer_cred().is_ok_and(|peer| may_change(peer.uid(), own));
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer, trusted }
    }

    async fn run(mut self, calls: &mpsc::Sender<Call>) -> io::Result<()> {
        loop {
            let line = match self.read_line().await? {
                Line::Request(line) => line,
                Line::End => return Ok(()),
                Line::TooLong => {
                    let text =
                        format!("the request is longer than {MAX_REQUEST} octets: split it into several");
                    return self.write(&ErrorReply::usage(text).into()).await;
                }
            };
            let reply = match serde_json::from_slice::<Request>(&line) {
                Err(error) => ErrorReply::usage(format!(
                    "the request is not understood: {error}; send one JSON object a line"
                ))
                .into(),
                Ok(request) if request.is_change() && !self.trusted => ErrorReply::denied(
                    "only root and the user that runs weft may change anything: use sudo, or ask only",
                )
                .into(),
                Ok(request) if request.shows_traffic() && !self.trusted => ErrorReply::denied(
                    "only root and the user that runs weft may see what pods send: use sudo",
                )
                .into(),
                Ok(request @ Request::Capture(_)) => match self.hand_over(calls, request).await? {
                    Some(refused) => refused,
                    None => {
                        // Dropped, it would be shut down, and what is left for the client would not get there.
                        self.writer.forget();
                        return Ok(());
                    }
                },
                Ok(request) => ask(calls, request).await,
            };
            self.write(&reply).await?;
        }
    }

    /// Lets the connection be taken over, and waits until the client closes its side; else the answer for the client.
    async fn hand_over(&mut self, calls: &mpsc::Sender<Call>, request: Request) -> io::Result<Option<Reply>> {
        let connection = self.writer.as_ref().as_fd().try_clone_to_owned()?;
        match ask_with(calls, request, Some(connection.into())).await {
            // Who took it over has said so to the client.
            Reply::Capturing(_) => {
                while self.reader.read(&mut [0; 64]).await? > 0 {}
                Ok(None)
            }
            refused => Ok(Some(refused)),
        }
    }

    async fn read_line(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(MAX_REQUEST as u64);
        let read = timeout(TIMEOUT, limited.read_until(b'\n', &mut line)).await;
        match read.map_err(|_| io::ErrorKind::TimedOut)?? {
            0 => Ok(Line::End),
            _ if line.ends_with(b"\n") || line.len() < MAX_REQUEST => Ok(Line::Request(line)),
            _ => Ok(Line::TooLong),
        }
    }

    /// The time limit is one of progress, so that a long reply to a busy reader gets through.
    async fn write(&mut self, reply: &Reply) -> io::Result<()> {
        let line = encode(reply);
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let written = timeout(TIMEOUT, self.writer.write(rest)).await;
            match written.map_err(|_| io::ErrorKind::TimedOut)?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => rest = &rest[n..],
            }
        }
        Ok(())
    }
}

enum Line {
    Request(Vec<u8>),
    TooLong,
    End,
}

/// Whether a client may change anything: root, and who runs the daemon.
const fn may_change(client_uid: u32, own_uid: u32) -> bool {
    client_uid == 0 || client_uid == own_uid
}

pub(super) async fn ask(calls: &mpsc::Sender<Call>, request: Request) -> Reply {
    ask_with(calls, request, None).await
}

async fn ask_with(
    calls: &mpsc::Sender<Call>,
    request: Request,
    connection: Option<std::os::unix::net::UnixStream>,
) -> Reply {
    let (reply, answer) = oneshot::channel();
    let stopping = || ErrorReply::failed("weft is stopping: start it again and repeat the command").into();
    if calls.send(Call { request, reply, connection }).await.is_err() {
        return stopping();
    }
    answer.await.unwrap_or_else(|_| stopping())
}

#[cfg(test)]
mod tests;
