//! The page of the map, who may have it, and what it asks.

use super::*;
use crate::control::protocol::{Drops, Fdb, Paths};

/// The paths of what a text names in quotes after one of these words.
fn named<'a>(text: &'a str, words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    words.iter().flat_map(move |word| text.split(*word).skip(1).filter_map(|rest| rest.split('"').next()))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn json(answer: &str) -> serde_json::Value {
    assert!(answer.contains("content-type: application/json"), "{answer}");
    serde_json::from_str(body(answer)).unwrap()
}

#[test]
fn the_page_names_nothing_that_is_not_served_here_and_has_no_script_or_style_in_it() {
    let server = Server::start(config(), vec![]);
    let page = server.get("/", "");
    assert_status(&page, 200);
    assert!(page.contains("content-type: text/html; charset=utf-8"), "{page}");
    let (mut wanted, mut served) = (Vec::new(), Vec::new());
    wanted.extend(named(body(&page), &["src=\"", "href=\""]).map(|path| format!("/{path}")));
    while let Some(path) = wanted.pop() {
        if served.contains(&path) || path.starts_with("/data:") {
            continue;
        }
        let answer = server.get(&path, "");
        assert_status(&answer, 200);
        wanted.extend(named(body(&answer), &["from \"./"]).map(|name| format!("/map/{name}")));
        served.push(path);
    }
    assert_eq!(served.len(), page::FILES.len() - 1, "{served:?}");
    for file in &page::FILES {
        let away = named(file.text, &["http:", "https:", "url("]).next();
        assert!(away.is_none_or(|rest| rest.starts_with("//www.w3.org/2000/svg")), "{}: {away:?}", file.path);
    }
    let inside = page.matches("<script").count() - page.matches("<script type=\"module\" src=\"").count();
    assert_eq!(inside, 0, "{page}");
    for inline in ["<style", " style=", "javascript:", " onload=", " onclick=", " onerror="] {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[test]
fn every_answer_says_that_nothing_foreign_runs_or_frames_it_and_that_it_is_not_kept() {
    let server = Server::start(config(), vec![ready(&[])]);
    let mut answers: Vec<_> =
        ["/", "/map/map.js", "/readyz", "/none", "/api/v1/none"].map(|path| server.get(path, "")).into();
    answers.push(server.send("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    answers.push(server.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
    for answer in answers {
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(answer.contains(header), "{header} is missing in {answer}");
        }
    }
}

#[test]
fn no_path_leads_to_another_file() {
    let server = Server::start(config(), vec![]);
    for path in [
        "/map/",
        "/map/../map.rs",
        "/map/..%2fmap.rs",
        "/map/%2e%2e/%2e%2e/http.rs",
        "/map/map.js/",
        "/MAP/map.js",
        "//map/map.js",
        "/map//map.js",
        "/map/index.html",
        "/map/map.js%00.css",
        "/./map/map.js",
        "/api/v1/fdb/../map",
        "/map/....//map.js",
        "/map\\map.js",
    ] {
        assert_status(&server.get(path, ""), 404);
    }
}

#[test]
fn who_has_no_token_gets_the_page_and_nothing_of_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let config = ApiConfig { token_file: Some(token_file(&directory)), ..config() };
    let server = Server::start(config, vec![Reply::Drops(drops())]);
    for file in &page::FILES {
        assert_status(&server.get(file.path, ""), 200);
    }
    for path in ["map", "events", "status", "drops", "ports", "peer/x", "fdb/x", "none"] {
        assert_status(&server.get(&format!("/api/v1/{path}"), ""), 401);
        assert_status(&server.get(&format!("/api/v1/{path}?token={TOKEN}"), ""), 401);
    }
    let answer = server.get("/api/v1/drops", &format!("Authorization: Bearer {TOKEN}\r\n"));
    assert_eq!(json(&answer)["schema"], "weft.drops/1");
}

#[test]
fn a_page_of_another_site_may_link_here_and_neither_ask_nor_frame() {
    let server = Server::start(config(), (0..9).map(|_| ready(&[])).collect());
    let asks = |path: &str, site: &str, dest: &str| {
        server.get(path, &format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Dest: {dest}\r\n"))
    };
    for (site, dest) in
        [("cross-site", "empty"), ("same-site", "empty"), ("cross-site", "iframe"), ("x", "script")]
    {
        let answer = asks("/readyz", site, dest);
        assert_status(&answer, 403);
        assert!(answer.contains("another site"), "{answer}");
    }
    for (site, dest) in [("same-origin", "empty"), ("none", "document"), ("cross-site", "document")] {
        assert_status(&asks("/readyz", site, dest), 200);
    }
}

fn drops() -> Drops {
    serde_json::from_str(
        r#"{"received":1,"delivered":1,"answered":0,"copies":0,"drops":{},"notices":{},"lost_before":{},"sides":{}}"#,
    )
    .unwrap()
}

#[test]
fn an_unknown_peer_is_not_found_and_the_reply_says_who_there_is() {
    let none = ErrorReply::usage("no peer <b>: there is node-b");
    let server = Server::start(config(), vec![none.into(), Reply::Paths(Paths { entries: vec![] })]);
    let answer = server.get("/api/v1/peer/%3Cb%3E", "");
    assert_status(&answer, 404);
    assert_eq!(json(&answer)["message"], "no peer <b>: there is node-b");
    let answer = server.get("/api/v1/peer/10.0.0.0%2F8", "");
    assert_eq!(
        (json(&answer)["schema"].as_str(), answer.starts_with("HTTP/1.1 200 ")),
        (Some("weft.path/1"), true)
    );
}

#[test]
fn who_lives_at_a_node_is_asked_by_its_id_and_up_to_a_thousand_of_them() {
    let fdb = Reply::Fdb(Fdb { entries: vec![], more: 500 });
    let server = Server::start(config(), vec![fdb.clone(), fdb]);
    for (path, node) in [("00ff", "00ff"), ("10.0.0.0%2F8", "10.0.0.0/8")] {
        let fdb = json(&server.get(&format!("/api/v1/fdb/{path}"), ""));
        assert_eq!((fdb["schema"].as_str(), fdb["more"].as_u64()), (Some("weft.fdb/1"), Some(500)));
        let asked = server.asked.recv().unwrap();
        assert_eq!(asked, Request::FdbAt { node: node.into(), limit: 1_000 });
    }
}
