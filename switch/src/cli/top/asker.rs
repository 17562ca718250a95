//! Asks the daemon without waiting for it: questions are sent, and answers are fetched as they come.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::model::Answers;
use crate::cli::client::{Client, ClientError};
use crate::cli::misfit;
use crate::control::protocol::{Reply, Request};

/// How long one look for answers takes at most, while there are none.
const LOOK: Duration = Duration::from_millis(20);

/// What is asked each time, and the order of the answers.
static QUESTIONS: [Request; 6] = [
    Request::Status,
    Request::Metrics,
    Request::Drops,
    Request::PeerList,
    Request::PortList,
    Request::NetworkList,
];

/// Why there are no answers.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody answers.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The daemon refuses; an older one does not know the question.
    #[error("{0}")]
    Refused(String),
    /// It answers something else.
    #[error("{}", misfit())]
    Misfit,
}

/// One who asks.
pub(super) struct Asker {
    socket: PathBuf,
    timeout: Duration,
    round: Option<Round>,
}

/// Questions that were sent, and what came of them.
struct Round {
    client: Client,
    replies: Vec<Reply>,
    wanted: usize,
    until: Instant,
}

impl Asker {
    /// Asks at this socket; answers that take longer than `timeout` are given up.
    pub(super) const fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self { socket, timeout, round: None }
    }

    /// Whether answers are awaited.
    pub(super) const fn is_asking(&self) -> bool {
        self.round.is_some()
    }

    /// Sends all questions, and `more`. Each round has a connection of its own: the daemon closes idle ones.
    ///
    /// # Errors
    ///
    /// [`AskError::Client`]: the daemon cannot be reached.
    pub(super) fn ask(&mut self, more: Option<&Request>, now: Instant) -> Result<(), AskError> {
        self.round = None;
        let mut client = Client::connect(&self.socket, LOOK)?;
        let wanted = QUESTIONS.len() + usize::from(more.is_some());
        for question in QUESTIONS.iter().chain(more) {
            client.send(question)?;
        }
        self.round = Some(Round { client, replies: Vec::new(), wanted, until: now + self.timeout });
        Ok(())
    }

    /// Looks for answers, for 20 ms at most while none comes; `None` = they are not all there. Only what was asked
    /// besides may be refused.
    ///
    /// # Errors
    ///
    /// Every [`AskError`]; the round is over then.
    pub(super) fn look(&mut self, now: Instant) -> Result<Option<Answers>, AskError> {
        let Some(mut round) = self.round.take() else { return Ok(None) };
        while round.replies.len() < round.wanted {
            match round.client.receive()? {
                Some(Reply::Error(error)) if round.replies.len() < QUESTIONS.len() => {
                    return Err(AskError::Refused(error.message));
                }
                Some(reply) => round.replies.push(reply),
                None if now >= round.until => return Err(ClientError::Timeout(self.socket.clone()).into()),
                None => {
                    self.round = Some(round);
                    return Ok(None);
                }
            }
        }
        sorted_out(round.replies).map(Some)
    }
}

/// Replies are answers if each is to its question.
fn sorted_out(replies: Vec<Reply>) -> Result<Answers, AskError> {
    let mut replies = replies.into_iter();
    let mut next = || replies.next();
    match (next(), next(), next(), next(), next(), next(), next()) {
        (
            Some(Reply::Status(status)),
            Some(Reply::Metrics(metrics)),
            Some(Reply::Drops(drops)),
            Some(Reply::Peers(peers)),
            Some(Reply::Ports(ports)),
            Some(Reply::Networks(networks)),
            more,
        ) => Ok(Answers { status, metrics, drops, peers, ports, networks, more }),
        _ => Err(AskError::Misfit),
    }
}

#[cfg(test)]
mod tests;
