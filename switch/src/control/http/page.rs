//! The files of the map: a page that asks for everything else.
//!
//! They are part of the program and the same for everybody, so they are served to who has no token, too: the page asks
//! the person for it, keeps it for as long as its tab is open, and sends it with each question.

use axum::Router;
use axum::http::header;
use axum::routing::get;

/// One file.
pub(super) struct File {
    pub(super) path: &'static str,
    kind: &'static str,
    pub(super) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them; there is no folder behind.
pub(super) const FILES: [File; 10] = [
    File { path: "/", kind: HTML, text: include_str!("map/index.html") },
    File { path: "/map/map.css", kind: CSS, text: include_str!("map/map.css") },
    File { path: "/map/map.js", kind: SCRIPT, text: include_str!("map/map.js") },
    File { path: "/map/live.js", kind: SCRIPT, text: include_str!("map/live.js") },
    File { path: "/map/graph.js", kind: SCRIPT, text: include_str!("map/graph.js") },
    File { path: "/map/layout.js", kind: SCRIPT, text: include_str!("map/layout.js") },
    File { path: "/map/canvas.js", kind: SCRIPT, text: include_str!("map/canvas.js") },
    File { path: "/map/table.js", kind: SCRIPT, text: include_str!("map/table.js") },
    File { path: "/map/details.js", kind: SCRIPT, text: include_str!("map/details.js") },
    File { path: "/map/words.js", kind: SCRIPT, text: include_str!("map/words.js") },
];

pub(super) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |routes, file| {
        routes.route(file.path, get(async move || ([(header::CONTENT_TYPE, file.kind)], file.text)))
    })
}

/// Whether a path is that of a file, to the letter.
pub(super) fn is_file(path: &str) -> bool {
    FILES.iter().any(|file| file.path == path)
}
