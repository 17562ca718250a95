//! What the map asks for: replies of the Unix socket as they are, and a stream of changes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::{App, events, unavailable};
use crate::control::protocol::{ErrorCode, Reply, Request};

/// The most entries of the FDB in one answer.
pub(super) const MAX_ENTRIES: u32 = 1_000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/map", get(events::map))
        .route("/api/v1/events", get(events::stream))
        .route("/api/v1/status", get(async |app: State<Arc<App>>| reply(&app, Request::Status).await))
        .route("/api/v1/drops", get(async |app: State<Arc<App>>| reply(&app, Request::Drops).await))
        .route("/api/v1/ports", get(async |app: State<Arc<App>>| reply(&app, Request::PortList).await))
        .route("/api/v1/peer/{name}", get(peer))
        .route("/api/v1/fdb/{name}", get(fdb))
}

async fn reply(app: &App, request: Request) -> Response {
    match app.ask(request).await {
        Ok(reply) => answer(&reply),
        silent => unavailable(silent),
    }
}

fn answer(reply: &Reply) -> Response {
    let status = match reply {
        Reply::Error(error) => match error.code {
            ErrorCode::Usage => StatusCode::NOT_FOUND,
            ErrorCode::Failed => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Denied => StatusCode::FORBIDDEN,
        },
        _ => StatusCode::OK,
    };
    (status, json(reply)).into_response()
}

/// A value as JSON; the types of this API always can be that.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The path to one peer, by id, name or address.
async fn peer(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    reply(&app, Request::PathShow { peer: Some(name) }).await
}

/// Who lives at a node, by its id on the map, its name, or the address of a static peer.
async fn fdb(State(app): State<Arc<App>>, Path(node): Path<String>) -> Response {
    reply(&app, Request::FdbAt { node, limit: MAX_ENTRIES }).await
}
