use super::*;

fn read(name: &str, value: u32) -> Result<Fix, serde_json::Error> {
    serde_json::from_value(serde_json::json!({ "name": name, "value": value }))
}

#[test]
fn a_fix_is_what_it_was_after_a_journey_through_json() {
    let buffers = [Fix::receive_buffer(8 << 20), Fix::send_buffer(8 << 20)];
    for fix in buffers.into_iter().chain([Fix::loose_reverse_path("eth0.100").unwrap()]) {
        assert_eq!(read(&fix.name(), fix.value()).unwrap(), fix);
    }
    let tagged = Fix::loose_reverse_path("eth0.100").unwrap();
    assert_eq!(tagged.to_string(), "sysctl -w net.ipv4.conf.eth0/100.rp_filter=2");
    assert_eq!(tagged.path().to_str(), Some("/proc/sys/net/ipv4/conf/eth0.100/rp_filter"));
}

#[test]
fn nobody_can_have_anything_else_written() {
    for (name, value) in [
        ("kernel.core_pattern", 1),
        ("net.core.rmem_max.", 1),
        ("net.core.wmem_default", 1),
        ("net.ipv4.conf.eth0.rp_filter", 0),
        ("net.ipv4.conf.eth0.forwarding", 2),
        ("net.ipv4.conf...rp_filter", 2),
        ("net.ipv4.conf.//.rp_filter", 2),
        ("net.ipv4.conf.a b.rp_filter", 2),
        ("net.ipv4.conf..rp_filter", 2),
        ("net.ipv4.conf.a-name-that-is-too-long.rp_filter", 2),
        ("", 2),
    ] {
        let error = read(name, value).unwrap_err().to_string();
        assert!(error.contains("no kernel setting that weft doctor changes"), "{name}: {error}");
    }
    for device in ["../../../kernel", "a/b", "..", ""] {
        assert!(Fix::loose_reverse_path(device).is_err(), "{device}");
    }
}
