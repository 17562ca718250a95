//! The map, and what changes on it as it changes: server-sent events.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>
//!
//! ```text
//!  id: 17            a number that grows
//!  event: snapshot   first: all of the map, `weft.map/1`
//!  event: changes    then, at most once a second: what is other than it was told before
//!  event: trouble    instead, when control has no answer: why; `changes` or `snapshot` follow when it has one
//!  :                 a comment, when there was nothing for 15 s
//! ```
//!
//! All streams look at the same second, and share what control answered in it. Each tells its reader what is other than
//! what that reader has, so that a slow one misses moments and no change.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::{App, questions, unavailable};
use crate::clock;
use crate::control::protocol::{ErrorReply, Map, Reply, Request};

/// The most streams at a time; they are connections, too.
pub(super) const MAX_STREAMS: usize = 8;
/// How often streams look.
const PERIOD: Duration = Duration::from_secs(1);
/// How old an answer of control may be for those who look next.
const FRESH: Duration = Duration::from_millis(900);
/// After so many looks without an event there is a comment, which tells a reader that the stream lives.
const QUIET: u32 = 15;

/// Whether a connection may last longer than a request and its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lasting(Arc<AtomicBool>);

impl Lasting {
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What all streams share.
pub(super) struct Feed {
    latest: Mutex<Option<Arc<Moment>>>,
    /// All look at whole seconds after this.
    begun: Instant,
    free: Arc<Semaphore>,
}

/// What control answered at one time.
struct Moment {
    id: u64,
    taken: Instant,
    map: Result<Map, String>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { latest: Mutex::default(), begun: clock::now(), free: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }
}

impl App {
    /// The map as it is, or was less than a second ago.
    async fn look(&self) -> Arc<Moment> {
        // Held while control is asked: who comes meanwhile gets that answer.
        let mut latest = self.feed.latest.lock().await;
        if let Some(moment) = latest.as_ref().filter(|moment| clock::now() - moment.taken < FRESH) {
            return Arc::clone(moment);
        }
        let mut map = match self.ask(Request::Map).await {
            Ok(Reply::Map(map)) => Ok(map),
            Ok(Reply::Error(error)) => Err(error.message),
            _ => Err("control does not answer within 2 s: look at the log".to_owned()),
        };
        let before = latest.as_ref().and_then(|moment| moment.map.as_ref().ok());
        if let (Ok(map), Some(before)) = (&mut map, before) {
            map.rate_since(before);
        }
        let id = latest.as_ref().map_or(0, |moment| moment.id) + 1;
        let moment = Arc::new(Moment { id, taken: clock::now(), map });
        *latest = Some(Arc::clone(&moment));
        moment
    }
}

/// The map, once.
pub(super) async fn map(State(app): State<Arc<App>>) -> Response {
    match &app.look().await.map {
        Ok(map) => questions::json(&Reply::Map(map.clone())),
        Err(why) => unavailable(Ok(ErrorReply::failed(why.clone()).into())),
    }
}

/// The map and its changes, for as long as the reader takes them.
pub(super) async fn stream(State(app): State<Arc<App>>, Extension(lasting): Extension<Lasting>) -> Response {
    let Ok(slot) = Arc::clone(&app.feed.free).try_acquire_owned() else {
        let why = format!(
            "{MAX_STREAMS} streams of events are open, which is the limit: close another page of the map first\n"
        );
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    lasting.0.store(true, Ordering::Relaxed);
    let mut ticks = interval_at(app.feed.begun.into(), PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let reader = Reader { app, ticks, told: Told::default(), quiet: 0, _slot: slot };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await;
        Some((Ok::<_, Infallible>(event), reader))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Who reads a stream.
struct Reader {
    app: Arc<App>,
    ticks: Interval,
    told: Told,
    /// Looks since the last event.
    quiet: u32,
    _slot: OwnedSemaphorePermit,
}

impl Reader {
    /// What is to be sent next. It is asked for when the reader has taken what was sent before.
    async fn next(&mut self) -> String {
        loop {
            self.ticks.tick().await;
            let moment = self.app.look().await;
            self.quiet += 1;
            let comment = || (self.quiet == QUIET).then(|| ":\n\n".to_owned());
            if let Some(text) = self.told.event(&moment).or_else(comment) {
                self.quiet = 0;
                return text;
            }
        }
    }
}

/// What a reader was told.
#[derive(Default)]
struct Told {
    /// The map that it has; at first none.
    has: Option<Arc<Moment>>,
    /// Whether the last that it heard was why there is no newer one.
    trouble: bool,
}

/// Why there is no map.
#[derive(Serialize)]
struct Trouble<'a> {
    message: &'a str,
}

impl Told {
    /// What a moment is to this reader; `None` = no news.
    fn event(&mut self, moment: &Arc<Moment>) -> Option<String> {
        let map = match &moment.map {
            Ok(map) => map,
            Err(_) if self.trouble => return None,
            Err(message) => {
                self.trouble = true;
                return Some(event(moment.id, "trouble", &Trouble { message }));
            }
        };
        let Some(Ok(before)) = self.has.as_ref().map(|moment| &moment.map) else {
            (self.has, self.trouble) = (Some(Arc::clone(moment)), false);
            return Some(event(moment.id, "snapshot", &Reply::Map(map.clone())));
        };
        let changes = before.changes_to(map);
        if changes.is_none() && !self.trouble {
            return None;
        }
        (self.has, self.trouble) = (Some(Arc::clone(moment)), false);
        Some(event(moment.id, "changes", &changes.unwrap_or_default()))
    }
}

/// One event. JSON has no newline, so its data is one line.
fn event(id: u64, name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}
