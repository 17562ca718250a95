//! `[api]`: where HTTP is, and who may ask.

use super::super::*;

fn api(text: &str) -> ApiConfig {
    Config::from_toml(text).unwrap_or_else(|error| panic!("{error}")).api
}

fn refusal(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

#[test]
fn http_is_on_the_loopback_unless_it_is_said_otherwise() {
    let default = api("").http;
    assert_eq!(default.address(), Some(([127, 0, 0, 1], 6787).into()));
    assert!(!default.is_given());

    let same = api("[api]\nhttp = \"127.0.0.1:6787\"").http;
    assert_eq!(same.address(), default.address());
    assert!(same.is_given());

    assert_eq!(api("[api]\nhttp = \"off\"").http.address(), None);
    assert_eq!(api("[api]\nhttp = \"::1\"").http.address().unwrap().to_string(), "[::1]:6787");
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    for address in ["10.0.0.1:6787", "0.0.0.0", "[::]:80", "fd00::1"] {
        let text = refusal(&format!("[api]\nhttp = \"{address}\""));
        assert!(text.contains("line 2: `http` in [api] is ") && text.contains("token_file"), "{text}");
        api(&format!("[api]\nhttp = \"{address}\"\ntoken_file = \"/etc/weft/http.token\""));
    }
}

#[test]
fn what_is_no_address_or_no_path_is_named() {
    for wrong in ["on", "localhost:80", "127.0.0.1:0", "127.0.0.1:x", ""] {
        let text = refusal(&format!("[api]\nhttp = \"{wrong}\""));
        assert!(text.contains("`http` in [api]") && text.contains("\"off\", or an IP address"), "{text}");
    }
    let text = refusal("[api]\ntoken_file = \"canary\"");
    assert!(text.contains("`token_file` in [api] is a value that is not shown"), "{text}");
    assert!(text.contains("allowed: an absolute path") && !text.contains("canary"), "{text}");
}

#[test]
fn gossip_and_http_need_a_port_each() {
    let gossip = "[gossip]\ninsecure = true\nlisten = \"127.0.0.1:6787\"\n";
    assert!(refusal(gossip).contains("where gossip listens"));
    api(&format!("{gossip}[api]\nhttp = \"off\""));
    api(&format!("{gossip}[api]\nhttp = \"127.0.0.1:6788\""));
}
