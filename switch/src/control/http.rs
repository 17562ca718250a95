//! HTTP, for programs: `/metrics`, `/healthz`, `/readyz`; for people: the map, at `/`, and what it asks for, under
//! `/api/v1/`. Nothing can be changed by any of it.
//!
//! Requests become [`Call`]s, as those of the Unix socket do; see [`super::api`]. A connection is one request, and ends
//! after it; only a stream of events lasts.
//!
//! A browser on the host may show pages of strangers. So a request that names a host by DNS is refused, since a page
//! could have had its own name lead here (DNS rebinding); and one that a page of another origin makes, since it could
//! use up connections, though it could not read the answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request as HttpRequest, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use self::events::{Feed, Lasting};
use self::sources::Sources;
use super::api::{Call, ask};
use super::config::ApiConfig;
use super::metrics::{self, Style};
use super::protocol::{Reply, Request};
use crate::clock;
use crate::io::token::{Token, TokenError};
use crate::log::say;

mod events;
mod page;
mod questions;
mod sources;

/// The most connections at a time; others wait until one ends. Of one address off the loopback there are at most 8; more are
/// closed at once.
pub const MAX_CONNECTIONS: usize = 32;
/// The most octets of a request's head.
pub const MAX_HEAD: usize = 8 << 10;
/// How long a client may take to send a request, and to take the answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long control may take to answer before the node is not healthy.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client may leave what was sent untaken, also in the midst of a stream of events.
pub const STALLED: Duration = Duration::from_secs(10);
/// Octets that wait in the kernel for one client: what a slow one costs, and soon enough full for [`STALLED`] to begin.
const SEND_BUFFER: usize = 64 << 10;

/// The bound socket.
#[derive(Debug)]
pub struct Http {
    listener: tokio::net::TcpListener,
    token: Option<Token>,
}

/// Why nobody can ask over HTTP; the daemon goes on without.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Somebody else listens there.
    #[error(
        "{0} is in use by another program: stop it (as root, `ss -ltnp` names it), or give another address, or \"off\", in \
         http of [api]; then restart weft"
    )]
    InUse(SocketAddr),
    /// The system refused.
    #[error("cannot listen on {address}: {error}; correct http in [api], and restart weft")]
    Io {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

impl Http {
    /// Binds the socket; `None` = the configuration has it off. To be called inside the runtime.
    ///
    /// # Errors
    ///
    /// [`HttpError`]: the token or the address cannot be used.
    pub fn bind(config: &ApiConfig) -> Result<Option<Self>, HttpError> {
        let Some(address) = config.http.address() else { return Ok(None) };
        let token = config.token_file.as_deref().map(Token::load).transpose()?;
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        let listener = bound.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => HttpError::InUse(address),
            _ => HttpError::Io { address, error },
        })?;
        Ok(Some(Self { listener, token }))
    }

    /// Serves clients for as long as the runtime lives.
    pub async fn serve(self, calls: mpsc::Sender<Call>) {
        let Self { listener, token } = self;
        let is_open = token.is_none();
        let app = app(Arc::new(App { calls, token, started_ms: OnceLock::new(), feed: Feed::default() }));
        let (free, sources) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Sources::default());
        // Nobody closes the semaphore.
        while let Ok(slot) = Arc::clone(&free).acquire_owned().await {
            match listener.accept().await {
                // A host that routes to its loopback lets pods reach what listens there.
                Ok((_, from)) if is_open && !from.ip().to_canonical().is_loopback() => {
                    say!(HttpStranger, from = %from, "a client over HTTP was refused: it is on another host");
                }
                Ok((stream, from)) => {
                    // Before anybody has shown a token, one host could hold all connections.
                    let Some(counted) = sources.count(from.ip()) else { continue };
                    let app = app.clone();
                    tokio::spawn(async move {
                        serve_one(stream, app).await;
                        drop((slot, counted));
                    });
                }
                Err(error) => {
                    say!(HttpAccept, reason = %error, "cannot accept a client; trying again in 100 ms");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// One connection, for no longer than a request, its answer and the way of both may take, unless that is a stream.
async fn serve_one(stream: TcpStream, app: Router) {
    let socket = SockRef::from(&stream);
    if let Err(error) =
        socket.set_tcp_user_timeout(Some(STALLED)).and(socket.set_send_buffer_size(SEND_BUFFER))
    {
        return say!(HttpClientGone, reason = %error, "an HTTP client was gone at once");
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).max_buf_size(MAX_HEAD).keep_alive(false);
    let lasting = Lasting::default();
    let service = TowerToHyperService::new(app.layer(Extension(lasting.clone())));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = match timeout(TIMEOUT + PATIENCE + TIMEOUT, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) if lasting.is() => connection.await,
        Err(_) => return,
    };
    if let Err(error) = ended {
        say!(HttpClientGone, reason = %error, "an HTTP client went away");
    }
}

/// What all requests share.
struct App {
    calls: mpsc::Sender<Call>,
    token: Option<Token>,
    /// When the daemon started, in milliseconds since 1970. Read off the two clocks once: later they could disagree.
    started_ms: OnceLock<u64>,
    /// What streams of events tell.
    feed: Feed,
}

/// What a browser is told with every answer: nothing but the files of the map runs, is shown, asked or framed, and nothing
/// is kept.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

fn app(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .merge(questions::routes())
        .with_state(Arc::clone(&app))
        .merge(page::routes())
        .fallback(async || {
            (StatusCode::NOT_FOUND, "not here: there are / (the map), /metrics, /healthz and /readyz\n")
        })
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"))
        .layer(middleware::from_fn_with_state(app, admit))
}

/// Lets a request pass that may ask, and says with every answer what a browser may do with it.
async fn admit(State(app): State<Arc<App>>, request: HttpRequest, next: Next) -> Response {
    let mut response = match refusal(&app, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request is not answered: it must name this host by its address, not come from a stranger's page, and have the
/// token where there is one. The files of the map tell nothing of the node, and are what asks a person for the token.
fn refusal(app: &App, request: &HttpRequest) -> Option<Response> {
    let headers = request.headers();
    let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    if !request.uri().authority().map(Authority::as_str).into_iter().chain(named).all(is_here) {
        let why = "the Host header names this host by DNS, as a page of a stranger in a browser would: ask by its IP address, \
                   or as localhost\n";
        return Some((StatusCode::FORBIDDEN, why).into_response());
    }
    if is_foreign(headers) {
        let why = "a page of another site asks, which may not: open the map itself\n";
        return Some((StatusCode::FORBIDDEN, why).into_response());
    }
    let has_token = || app.token.as_ref().is_none_or(|token| has_token(headers, token));
    if page::is_file(request.uri().path()) || has_token() {
        return None;
    }
    let why =
        "the request has not the token of `token_file` in [api]: send it as `Authorization: Bearer TOKEN`\n";
    Some((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response())
}

/// Whether a browser says that a page of another origin asks. Following a link to the map is no such thing.
/// <https://www.w3.org/TR/fetch-metadata/>
fn is_foreign(headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let elsewhere = says("sec-fetch-site").is_some_and(|site| !matches!(site, b"same-origin" | b"none"));
    elsewhere && says("sec-fetch-dest") != Some(b"document")
}

/// Whether a `Host` header, with a port or without, can be nothing but an address, or this host's own name for itself.
fn is_here(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(v6, _)| v6),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() || host.parse::<IpAddr>().is_ok()
}

fn has_token(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let parts = given.and_then(|given| given.split_at_checked(b"Bearer ".len()));
    parts.is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(given))
}

async fn scrape(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let metrics = match app.ask(Request::Metrics).await {
        Ok(Reply::Metrics(metrics)) => metrics,
        other => return unavailable(other),
    };
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (style, kind) = if accepted.into_iter().any(|value| value.contains("application/openmetrics-text")) {
        (Style::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (Style::Classic, "text/plain; version=0.0.4; charset=utf-8")
    };
    let started_ms = app.started_ms.get_or_init(|| clock::unix_ms().saturating_sub(metrics.uptime_ms));
    match metrics::encode(&metrics, *started_ms, style) {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Healthy = control answers, whatever it says.
async fn health(State(app): State<Arc<App>>) -> Response {
    match app.ask(Request::Ready).await {
        Ok(_) => "ok\n".into_response(),
        silent => unavailable(silent),
    }
}

async fn readiness(State(app): State<Arc<App>>) -> Response {
    match app.ask(Request::Ready).await {
        Ok(Reply::Ready(ready)) if ready.waits_for.is_empty() => "ready\n".into_response(),
        Ok(Reply::Ready(ready)) => {
            (StatusCode::SERVICE_UNAVAILABLE, ready.waits_for.join("\n") + "\n").into_response()
        }
        other => unavailable(other),
    }
}

/// Control did not answer in time.
struct Silent;

impl App {
    async fn ask(&self, request: Request) -> Result<Reply, Silent> {
        timeout(PATIENCE, ask(&self.calls, request)).await.map_err(|_| Silent)
    }
}

/// The answer when control has none.
fn unavailable(reply: Result<Reply, Silent>) -> Response {
    let why = match reply {
        Ok(Reply::Error(error)) => error.message,
        _ => "control does not answer within 2 s: look at the log".to_owned(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response()
}

#[cfg(test)]
mod tests;
