use super::*;

/// Expressions of each kind, for what tunnels carry.
const EXPRESSIONS: &[&str] = &[
    "",
    "ip",
    "ip6",
    "arp",
    "icmp",
    "icmp6",
    "tcp",
    "udp",
    "not ip",
    "host 10.0.0.1",
    "src host 10.0.0.1",
    "dst net 10.0.0.0/8",
    "net 192.168.0.0 mask 255.255.0.0",
    "ip6 host fd00::1",
    "ip6 net fd00::/8",
    "ether host 02:00:00:00:00:01",
    "ether src 02:00:00:00:00:01",
    "ether proto 0x88b5",
    "ether multicast",
    "ether broadcast",
    "broadcast",
    "multicast",
    "port 53",
    "tcp port 80 or tcp port 443",
    "udp portrange 4000-5000",
    "src port 53 and udp",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] & 2 != 0 and not port 22",
    "ip[0] & 0xf != 5",
    "icmp[icmptype] = icmp-echo",
    "icmp6 and ip6[40] = 128",
    "ip[6:2] & 0x1fff != 0",
    "ether[0] & 1 = 0 and ip[16] >= 224",
    "greater 100",
    "less 100",
    "len > 1000 and len < 2000",
    "vlan",
    "vlan 5 and ip",
    "ip proto 47",
    "udp[8:4] = 0x08000000",
    "udp port 4789 and udp[8:2] = 0x0800",
    "(host 10.0.0.1 or host 10.0.0.2) and (tcp or udp)",
    "geneve",
    "mpls",
    "1 = 1",
    "ip[2:2] - 20 > 8 * 100",
];

fn libpcap() -> Compiler {
    Compiler::Libpcap(Libpcap::open().expect("Debian's libpcap0.8"))
}

fn refused(compiler: &Compiler, expression: &str) -> Wrong {
    match compiler.compile(expression) {
        Err(FilterError::Wrong(wrong)) => wrong,
        other => panic!("{expression}: {other:?}"),
    }
}

#[test]
#[ignore = "needs tcpdump: run by test.sh"]
fn libpcap_and_tcpdump_compile_the_same_programs() {
    for expression in EXPRESSIONS {
        let [ours, theirs] = [libpcap(), Compiler::Tcpdump]
            .map(|c| c.compile(expression).unwrap_or_else(|error| panic!("{expression} by {c:?}: {error}")));
        assert_eq!(ours, theirs, "{expression}");
    }
}

#[test]
#[ignore = "needs tcpdump: run by test.sh"]
fn a_wrong_expression_is_told_with_its_place() {
    for (expression, place) in [
        ("host 10.0.0.1 and prt 80", "prt"),
        ("tcp and and udp", "and udp"),
        ("tcp[13 & 2 != 0 and ip", "!= 0 and ip"),
        ("port 99999", "99999"),
        ("(ip and tcp) or (udp", ""),
        ("ip host", ""),
        ("ip and host nosuch.invalid", "nosuch.invalid"),
    ] {
        for compiler in [libpcap(), Compiler::Tcpdump] {
            let wrong = refused(&compiler, expression);
            assert!(!wrong.message.is_empty(), "{expression}");
            let at = wrong.place.map(|at| &expression[at..]);
            let is_there = |at: &str| if place.is_empty() { at.is_empty() } else { at.starts_with(place) };
            assert_eq!(at.map(is_there), Some(true), "{expression}: {wrong}");
        }
    }
    let told = refused(&libpcap(), "ip and prt 80").to_string();
    assert!(told.ends_with("\n  ip and prt 80\n         ^"), "{told}");
}

#[test]
#[ignore = "needs tcpdump: run by test.sh"]
fn what_only_a_device_knows_and_what_loops_is_refused() {
    for compiler in [libpcap(), Compiler::Tcpdump] {
        let error = compiler.compile("inbound").unwrap_err();
        assert!(matches!(error, FilterError::Beyond | FilterError::Wrong(_)), "{error}");
        let error = compiler.compile("ip6 protochain 6").unwrap_err();
        assert!(matches!(error, FilterError::Loop), "{error}");
    }
}

#[test]
fn a_listing_is_read_and_no_other_text() {
    assert_eq!(listing("2\n40 0 0 12\n6 0 0 262144\n"), Some(vec![(40, 0, 0, 12), (6, 0, 0, 262_144)]));
    assert_eq!(listing("1\n(000) ret\n"), None);
    assert_eq!(listing("1\n6 0 0\n"), None);
}
