use encap::ether::Frame;
use encap::neighbor::{Binding, announcement};
use fdb::neighbor::Claim;

use super::*;
use crate::control::protocol::NeighEntry;

/// A port with a MAC address and two IP addresses, one that was given nothing, and a peer.
const GIVEN: &str = r#"
[node]
name = "node-a"
[underlay]
address = "10.0.0.1"
[[network]]
name = "pods"
vni = 100
[[port]]
name = "web"
network = "pods"
mac = "02:00:00:00:00:01"
addresses = ["10.32.0.5/12", "fd00::5/64"]
[[port]]
name = "free"
network = "pods"
[[peer]]
address = "10.0.0.9"
networks = ["pods"]
"#;

fn pods() -> Vni {
    Vni::new(100).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Lab {
    fn neigh(&mut self) -> Vec<NeighEntry> {
        let Reply::Neigh(neigh) = self.ask(Request::NeighShow { network: None }) else { panic!() };
        neigh.entries
    }

    /// The port tells a binding, after a frame of that MAC address.
    fn bind(&mut self, port: &str, address: &str, owner: u16) {
        let port = self.id(port);
        self.learn(100, mac(owner), Location::Local(port));
        self.bind_only(port, address, owner);
    }

    fn bind_only(&mut self, port: PortId, address: &str, owner: u16) {
        let told = Binding { ip: ip(address), mac: mac(owner), router: Some(true) };
        self.control.handle_event(WorkerEvent::Bind { vni: pods(), told, port }, self.now);
    }

    fn claim(&mut self, address: &str, owner: u16) {
        let ips = [ip(address)];
        let claim = Claim { vni: pods(), mac: mac(owner), ips: &ips, router: false, mob_seq: 0, origin: 7 };
        self.control.neighbor_claim(&claim);
        self.control.settle();
    }
}

#[test]
fn a_port_has_the_addresses_it_was_given_as_long_as_it_is_up() {
    let mut lab = Lab::new(GIVEN);
    lab.now += Duration::from_secs(12);
    let web = NeighEntry {
        ip: ip("10.32.0.5"),
        mac: mac(1),
        vni: pods(),
        network: "pods".into(),
        port: Some("web".into()),
        dst: None,
        owner: Some("node-a".into()),
        router: false,
        age_s: Some(12),
    };
    let v6 = NeighEntry { ip: ip("fd00::5"), ..web.clone() };
    assert_eq!(lab.neigh(), [web, v6]);
    let web = lab.id("web");
    lab.port_gone(web);
    assert_eq!(lab.neigh(), []);
}

#[test]
fn what_a_port_tells_is_shown_and_ages_with_the_network() {
    let mut lab = Lab::new(GIVEN);
    lab.bind("free", "10.32.0.7", 7);
    let free = &lab.neigh()[1];
    assert_eq!((free.ip, free.mac, free.port.as_deref()), (ip("10.32.0.7"), mac(7), Some("free")));
    assert!(free.router && free.age_s == Some(0));
    lab.now += Duration::from_secs(300);
    lab.tick();
    assert_eq!(lab.neigh().len(), 2);
}

#[test]
fn what_is_told_of_a_mac_address_that_lives_elsewhere_is_ignored() {
    let mut lab = Lab::new(GIVEN);
    let free = lab.id("free");
    lab.bind_only(free, "10.32.0.7", 7);
    lab.learn(100, mac(8), vtep("10.0.0.9:4789"));
    lab.bind_only(free, "10.32.0.8", 8);
    lab.bind_only(free, "10.32.0.9", 1);
    lab.bind_only(PortId::new(99), "10.32.0.9", 1);
    assert_eq!(lab.neigh().len(), 2);
}

#[test]
fn a_mac_address_that_moves_away_takes_what_it_told_along() {
    let mut lab = Lab::new(GIVEN);
    lab.bind("free", "10.32.0.7", 7);
    lab.learn(100, mac(7), vtep("10.0.0.9:4789"));
    assert_eq!(lab.neigh().len(), 2);
    lab.bind("free", "10.32.0.7", 7);
    assert_eq!(lab.neigh().len(), 3);
    lab.control.table.add_static(pods(), mac(7), vtep("10.0.0.9:4789")).unwrap();
    lab.claim("10.32.0.70", 7);
    let shown: Vec<_> = lab.neigh().into_iter().map(|entry| (entry.ip, entry.dst)).collect();
    assert_eq!(shown[1], (ip("10.32.0.70"), Some(ip("10.0.0.9"))), "{shown:?}");
}

#[test]
fn a_claim_is_shown_with_what_is_known_of_it() {
    let mut lab = Lab::new(GIVEN);
    lab.claim("10.32.0.7", 7);
    let entry = lab.neigh().remove(1);
    assert_eq!((entry.port, entry.dst, entry.owner, entry.age_s), (None, None, None, None));
    lab.learn(100, mac(7), vtep("10.0.0.9:4789"));
    lab.now += Duration::from_secs(3);
    let entry = lab.neigh().remove(1);
    assert_eq!((entry.dst, entry.age_s), (Some(ip("10.0.0.9")), Some(3)));
    lab.control.neighbors.unclaim(pods(), mac(7), 7);
    assert_eq!(lab.neigh().len(), 2);
}

#[test]
fn pods_are_told_of_a_new_owner_but_not_the_owner_itself() {
    let mut lab = Lab::new(GIVEN);
    lab.claim("10.32.0.7", 7);
    assert_eq!(lab.twin().announced, [], "nobody knew another one");
    lab.bind("free", "10.32.0.7", 8);
    let (free, frame) = (lab.id("free"), announcement(ip("10.32.0.7"), mac(8), true));
    assert_eq!(lab.twin().announced, [(pods(), Some(free), frame)]);
    lab.port_gone(free);
    let announced = lab.twin().announced[1];
    assert_eq!((announced.1, Frame::new(announced.2.octets()).unwrap().src()), (None, mac(7)));
}

#[test]
fn many_new_owners_are_announced_in_rounds() {
    let mut lab = Lab::new(GIVEN);
    for owner in [8, 7] {
        for last in 0..100 {
            let (address, origin) = (ip(&format!("10.33.0.{last}")), u32::from(owner) * 1000 + last);
            let claim =
                Claim { vni: pods(), mac: mac(owner), ips: &[address], router: false, mob_seq: 0, origin };
            lab.control.neighbor_claim(&claim);
        }
    }
    lab.control.settle();
    assert_eq!(lab.twin().announced.len(), 64);
    lab.tick();
    assert_eq!(lab.twin().announced.len(), 100);
}

#[test]
fn neigh_shows_one_network_or_all_and_names_one_that_does_not_exist() {
    let mut lab = Lab::new(GIVEN);
    let Reply::Neigh(neigh) = lab.ask(Request::NeighShow { network: Some("100".into()) }) else { panic!() };
    assert_eq!(neigh.entries.len(), 2);
    let error = lab.refused(Request::NeighShow { network: Some("pod".into()) });
    assert!(error.message.contains("did you mean pods?"), "{}", error.message);
}

#[test]
fn a_port_on_another_network_has_its_addresses_there() {
    let both = format!("{GIVEN}\n[[network]]\nname = \"db\"\nvni = 200\n");
    let mut lab = Lab::new(&both);
    lab.bind("free", "10.32.0.7", 7);
    let moved = both.replace("name = \"web\"\nnetwork = \"pods\"", "name = \"web\"\nnetwork = \"db\"");
    lab.reload(&moved).unwrap();
    let networks: Vec<_> = lab.neigh().into_iter().map(|entry| entry.network).collect();
    assert_eq!(networks, ["pods", "db", "db"]);
}
