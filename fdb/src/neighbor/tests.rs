use std::sync::Arc;

use proptest::prelude::*;

use super::contest::GRACE;
use super::table::HOLD;
use super::*;
use crate::Shared;

const AGE: Duration = Duration::from_secs(300);

fn vni() -> Vni {
    Vni::from_octets([0, 0, 100])
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn port(id: u32) -> PortId {
    PortId::new(id)
}

struct Lab {
    table: NeighborTable,
    shared: Arc<Shared>,
    now: Instant,
}

impl Lab {
    fn new() -> Self {
        let shared = Arc::new(Shared::with_seed(1));
        #[allow(clippy::disallowed_methods)] // the only way to get one
        let now = Instant::now();
        Self { table: NeighborTable::new(Arc::clone(&shared)), shared, now }
    }

    fn told(&self, ip: IpAddr, mac: MacAddr, port: PortId) -> Heard {
        let told = Binding { ip, mac, router: None };
        Heard { vni: vni(), told, port, now: self.now, age: AGE }
    }

    fn learn(&mut self, last: u8, owner: u8, at: u32) -> bool {
        let heard = self.told(ip(last), mac(owner), port(at));
        self.table.learn(&heard)
    }

    fn claim(&mut self, ips: &[u8], owner: u8, mob_seq: u32, origin: u32) {
        let ips: Vec<_> = ips.iter().map(|last| ip(*last)).collect();
        self.table.claim(&Claim { vni: vni(), mac: mac(owner), ips: &ips, router: false, mob_seq, origin });
    }

    fn configure(&mut self, at: u32, owner: u8, ips: &[u8]) {
        let ips: Vec<_> = ips.iter().map(|last| ip(*last)).collect();
        self.table.configure(port(at), (vni(), mac(owner)), &ips, self.now);
    }

    /// Who has 10.0.0.x, and whether that is here.
    fn owner(&self, last: u8) -> Option<(MacAddr, bool)> {
        self.shared.neighbors().find(vni(), ip(last)).map(|owner| (owner.mac, owner.local))
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.table.expire(self.now);
    }

    fn announced(&mut self) -> Vec<(IpAddr, MacAddr)> {
        std::iter::from_fn(|| self.table.poll_announce()).map(|(_, ip, owner)| (ip, owner.mac)).collect()
    }

    fn duplicates(&mut self) -> Vec<[MacAddr; 2]> {
        std::iter::from_fn(|| self.table.poll_duplicate()).map(|duplicate| duplicate.macs).collect()
    }
}

#[test]
fn what_a_port_told_is_known_until_it_ages() {
    let mut lab = Lab::new();
    assert!(lab.learn(1, 1, 7));
    assert_eq!(lab.owner(1), Some((mac(1), true)));
    lab.wait(AGE / 2);
    assert!(lab.learn(1, 1, 7));
    lab.wait(AGE - Duration::from_secs(1));
    assert!(lab.owner(1).is_some(), "it was told again");
    lab.wait(Duration::from_secs(1));
    assert_eq!(lab.owner(1), None);
    assert_eq!(lab.table.ips_of(vni(), mac(1)), (vec![], false));
}

#[test]
fn an_age_of_zero_keeps_a_binding_for_ever() {
    let mut lab = Lab::new();
    let heard = Heard { age: Duration::ZERO, ..lab.told(ip(1), mac(1), port(7)) };
    lab.table.learn(&heard);
    lab.wait(AGE * 1000);
    assert!(lab.owner(1).is_some());
}

#[test]
fn an_address_of_no_host_is_not_learned_or_claimed() {
    let mut lab = Lab::new();
    for wrong in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
        let heard = lab.told(wrong.parse().unwrap(), mac(1), port(7));
        assert!(!lab.table.learn(&heard), "{wrong}");
        let ips = [wrong.parse().unwrap()];
        lab.table.claim(&Claim { vni: vni(), mac: mac(1), ips: &ips, router: false, mob_seq: 0, origin: 1 });
    }
    for wrong in [MacAddr::BROADCAST, MacAddr::new([0; 6])] {
        let heard = lab.told(ip(1), wrong, port(7));
        assert!(!lab.table.learn(&heard), "{wrong}");
        lab.table.claim(&Claim {
            vni: vni(),
            mac: wrong,
            ips: &[ip(1)],
            router: false,
            mob_seq: 0,
            origin: 1,
        });
    }
    assert_eq!(lab.table.bindings(), []);
}

#[test]
fn news_is_what_is_not_known_so_or_is_due_for_a_refresh() {
    let mut lab = Lab::new();
    let refresh = AGE / 10;
    let is_news = |lab: &Lab, told: &Binding, at| {
        lab.shared.neighbors().is_news(vni(), told, port(at), lab.now, refresh)
    };
    let told = lab.told(ip(1), mac(1), port(7)).told;
    assert!(is_news(&lab, &told, 7));
    lab.learn(1, 1, 7);
    assert!(!is_news(&lab, &told, 7));
    assert!(is_news(&lab, &told, 8) && is_news(&lab, &Binding { mac: mac(2), ..told }, 7));
    assert!(is_news(&lab, &Binding { router: Some(true), ..told }, 7));
    assert!(!is_news(&lab, &Binding { router: Some(false), ..told }, 7));
    lab.now += refresh;
    assert!(is_news(&lab, &told, 7));
    lab.configure(7, 1, &[1]);
    lab.now += AGE;
    assert!(!is_news(&lab, &told, 7), "what is configured needs no refresh");
}

#[test]
fn a_port_has_64_bindings_and_loses_its_own_oldest() {
    let mut lab = Lab::new();
    lab.learn(200, 200, 8);
    for n in 0..PORT_IPS as u8 {
        lab.learn(n, n / 8 + 1, 7);
    }
    lab.learn(0, 1, 7);
    lab.learn(100, 100, 7);
    assert!(lab.owner(0).is_some(), "it was told again");
    assert_eq!(lab.owner(1), None);
    assert!(lab.owner(100).is_some() && lab.owner(200).is_some());
    assert_eq!(lab.table.bindings().len(), PORT_IPS + 1);
}

#[test]
fn a_port_with_configured_addresses_has_8_more_and_never_loses_those() {
    let mut lab = Lab::new();
    lab.configure(7, 1, &[1, 2]);
    (10..30).for_each(|n| assert!(lab.learn(n, 1, 7)));
    assert_eq!(lab.table.bindings().len(), 2 + GUARDED_PORT_IPS);
    assert!(lab.owner(1).is_some() && lab.owner(2).is_some() && lab.owner(22).is_some());
    assert_eq!(lab.owner(21), None);
}

#[test]
fn a_mac_address_has_32_addresses_and_loses_its_own_oldest() {
    let mut lab = Lab::new();
    lab.learn(200, 2, 7);
    (0..=MAX_IPS as u8).for_each(|n| assert!(lab.learn(n + 1, 1, 7)));
    assert_eq!(lab.table.ips_of(vni(), mac(1)).0.len(), MAX_IPS);
    assert_eq!(lab.owner(1), None);
    assert!(lab.owner(2).is_some() && lab.owner(200).is_some());
    let configured: Vec<_> = (100..100 + MAX_IPS as u8).collect();
    lab.configure(8, 3, &configured);
    assert!(!lab.learn(250, 3, 8), "there is nothing to give up");
    assert_eq!(lab.table.ips_of(vni(), mac(3)).0.len(), MAX_IPS);
}

#[test]
fn bindings_go_with_their_port_and_when_their_mac_address_moves_away() {
    let mut lab = Lab::new();
    lab.configure(7, 1, &[1]);
    lab.learn(2, 1, 7);
    lab.learn(3, 3, 8);
    lab.table.forget_mac(vni(), mac(1));
    assert_eq!((lab.owner(1), lab.owner(2)), (Some((mac(1), true)), None), "what is configured stays");
    lab.table.forget_port(port(7));
    assert_eq!(lab.table.bindings().len(), 1);
    lab.table.forget_port(port(8));
    assert_eq!(lab.table.bindings(), []);
}

#[test]
fn a_configured_address_stays_with_its_port_and_another_host_that_tells_it_is_an_alarm() {
    let mut lab = Lab::new();
    lab.learn(1, 9, 9);
    lab.configure(7, 1, &[1]);
    assert_eq!(lab.owner(1), Some((mac(1), true)));
    lab.now += HOLD;
    (0..3).for_each(|_| assert!(!lab.learn(1, 9, 9)));
    assert_eq!((lab.owner(1), lab.duplicates()), (Some((mac(1), true)), vec![[mac(1), mac(9)]]));
    lab.configure(7, 1, &[2]);
    assert_eq!((lab.owner(1), lab.owner(2)), (None, Some((mac(1), true))));
    lab.now += HOLD;
    assert!(lab.learn(2, 5, 7));
    lab.configure(7, 1, &[2]);
    lab.wait(AGE);
    assert_eq!(lab.owner(2), Some((mac(5), true)), "the MAC address of the port changed");
    lab.table.forget_mac(vni(), mac(5));
    assert_eq!(lab.owner(2), Some((mac(5), true)), "it is still configured");
}

#[test]
fn an_address_that_moves_between_local_hosts_is_announced_and_one_that_moves_back_is_an_alarm() {
    let mut lab = Lab::new();
    lab.learn(1, 1, 7);
    assert!(!lab.learn(1, 2, 8), "it was told a moment ago");
    lab.now += HOLD;
    assert!(lab.learn(1, 2, 8));
    assert_eq!(lab.owner(1), Some((mac(2), true)));
    assert_eq!((lab.announced(), lab.duplicates()), (vec![(ip(1), mac(2))], vec![]));
    for _ in 0..3 {
        lab.now += HOLD;
        assert!(lab.learn(1, 1, 7));
        lab.now += HOLD;
        assert!(lab.learn(1, 2, 8));
    }
    assert_eq!((lab.announced().len(), lab.duplicates()), (6, vec![[mac(1), mac(2)]]), "one alarm");
}

#[test]
fn a_claim_is_known_until_it_is_taken_back() {
    let mut lab = Lab::new();
    lab.claim(&[1, 2], 1, 0, 7);
    assert_eq!((lab.owner(1), lab.owner(2)), (Some((mac(1), false)), Some((mac(1), false))));
    lab.claim(&[2, 3], 1, 0, 7);
    assert_eq!((lab.owner(1), lab.owner(3)), (None, Some((mac(1), false))));
    lab.claim(&[3], 1, 0, 8);
    lab.table.unclaim(vni(), mac(1), 7);
    assert_eq!((lab.owner(2), lab.owner(3)), (None, Some((mac(1), false))), "another node has it, too");
    lab.table.unclaim(vni(), mac(1), 8);
    assert_eq!(lab.table.bindings(), []);
}

#[test]
fn a_local_binding_counts_before_any_claim_and_a_claim_comes_back_when_it_goes() {
    let mut lab = Lab::new();
    lab.claim(&[1], 1, 9, 7);
    lab.learn(1, 2, 7);
    lab.claim(&[1], 1, 10, 7);
    assert_eq!(lab.owner(1), Some((mac(2), true)));
    lab.table.forget_port(port(7));
    assert_eq!(lab.owner(1), Some((mac(1), false)));
    // The same MAC address here and there, as while a pod moves.
    lab.learn(1, 1, 7);
    assert_eq!(lab.owner(1), Some((mac(1), true)));
    lab.table.unclaim(vni(), mac(1), 7);
    assert_eq!(lab.owner(1), Some((mac(1), true)));
    lab.table.forget_port(port(7));
    assert_eq!(lab.owner(1), None);
}

#[test]
fn of_two_claims_the_one_that_moved_more_counts_then_the_lower_address() {
    let mut lab = Lab::new();
    lab.claim(&[1], 2, 0, 7);
    lab.claim(&[1], 1, 0, 8);
    assert_eq!(lab.owner(1), Some((mac(1), false)));
    lab.claim(&[1], 2, 1, 7);
    assert_eq!(lab.owner(1), Some((mac(2), false)));
    lab.claim(&[1], 1, 2, 8);
    assert_eq!(lab.owner(1), Some((mac(1), false)));
    lab.table.unclaim(vni(), mac(1), 8);
    assert_eq!(lab.owner(1), Some((mac(2), false)));
}

#[test]
fn a_duplicate_that_lasts_is_told_once_until_it_is_over() {
    let mut lab = Lab::new();
    lab.claim(&[1], 2, 0, 7);
    lab.claim(&[1], 1, 0, 8);
    lab.wait(Duration::ZERO);
    lab.table.unclaim(vni(), mac(2), 7);
    lab.wait(GRACE);
    assert_eq!(lab.duplicates(), [] as [[MacAddr; 2]; 0], "a pod that was made anew is none");
    for _ in 0..2 {
        lab.claim(&[1], 2, 0, 7);
        lab.wait(Duration::ZERO);
        lab.wait(GRACE);
        lab.wait(GRACE);
        assert_eq!(lab.duplicates(), [[mac(1), mac(2)]]);
        lab.table.unclaim(vni(), mac(2), 7);
    }
    lab.learn(1, 9, 9);
    lab.wait(Duration::ZERO);
    lab.wait(GRACE);
    assert_eq!(lab.duplicates(), [[mac(9), mac(1)]], "a claim of what is local, too");
}

#[test]
fn a_new_owner_is_announced_also_when_the_old_one_went_first() {
    let mut lab = Lab::new();
    lab.claim(&[1], 1, 0, 7);
    lab.claim(&[1], 1, 0, 8);
    lab.table.unclaim(vni(), mac(1), 7);
    assert_eq!(lab.announced(), [], "neither a first owner nor another place is another MAC address");
    lab.table.unclaim(vni(), mac(1), 8);
    lab.claim(&[1], 1, 0, 7);
    assert_eq!(lab.announced(), [], "it came back");
    lab.table.unclaim(vni(), mac(1), 7);
    lab.claim(&[1], 2, 0, 8);
    assert_eq!(lab.announced(), [(ip(1), mac(2))]);
    lab.claim(&[1], 3, 1, 9);
    assert_eq!(lab.announced(), [(ip(1), mac(3))]);
    lab.claim(&[1], 2, 2, 8);
    lab.table.unclaim(vni(), mac(2), 8);
    lab.table.unclaim(vni(), mac(3), 9);
    assert_eq!(lab.announced(), [], "nobody has it by now");
}

#[test]
fn a_router_is_one_as_its_owner_says() {
    let mut lab = Lab::new();
    let router = |lab: &Lab| lab.shared.neighbors().find(vni(), ip(1)).unwrap().router;
    let mut heard = lab.told(ip(1), mac(1), port(7));
    heard.told.router = Some(true);
    lab.table.learn(&heard);
    assert!(router(&lab) && lab.table.ips_of(vni(), mac(1)).1);
    lab.learn(1, 1, 7);
    assert!(router(&lab), "a message that does not tell changes nothing");
    heard.told.router = Some(false);
    lab.table.learn(&heard);
    assert!(!router(&lab) && !lab.table.ips_of(vni(), mac(1)).1);
    lab.table.forget_port(port(7));
    let ips = [ip(1)];
    let claim = |router| Claim { vni: vni(), mac: mac(1), ips: &ips, router, mob_seq: 0, origin: 7 };
    lab.table.claim(&claim(true));
    assert!(router(&lab));
    lab.table.claim(&claim(false));
    assert!(!router(&lab));
}

#[test]
fn changes_are_noted_once_somebody_publishes_and_each_once() {
    let mut lab = Lab::new();
    lab.learn(1, 1, 7);
    assert_eq!(lab.table.poll_changed(), None);
    lab.table.set_publishing(true);
    assert_eq!(lab.table.poll_changed(), Some((vni(), mac(1))));
    assert_eq!(lab.table.poll_changed(), None);
    lab.learn(1, 1, 7);
    lab.claim(&[5], 5, 0, 7);
    assert_eq!(lab.table.poll_changed(), None, "neither a refresh nor a claim is a change here");
    lab.learn(2, 1, 7);
    lab.learn(3, 1, 7);
    assert_eq!(lab.table.poll_changed(), Some((vni(), mac(1))));
    assert_eq!(lab.table.poll_changed(), None);
    lab.wait(AGE);
    assert_eq!(lab.table.poll_changed(), Some((vni(), mac(1))));
}

#[test]
fn queues_that_nobody_reads_lose_their_oldest() {
    let mut lab = Lab::new();
    for owner in 1..=20 {
        for last in 0..100 {
            lab.claim(&[last], owner, u32::from(owner), u32::from(owner));
        }
        // Each origin names one address at last, so that the ones before were taken back.
        assert_eq!(lab.owner(99), Some((mac(owner), false)));
    }
    for n in 0..5000_u32 {
        let [.., a, b] = n.to_be_bytes();
        for owner in [1, 2] {
            let ips = [IpAddr::from([10, 1, a, b])];
            let claim =
                Claim { vni: vni(), mac: mac(owner), ips: &ips, router: false, mob_seq: 0, origin: n };
            lab.table.claim(&claim);
            lab.table.unclaim(vni(), mac(owner), n);
        }
    }
    assert!(lab.table.announce.len() <= 1024 && lab.table.departed.len() <= 4096);
}

#[derive(Clone, Debug)]
enum Step {
    Learn(u8, u8, u32),
    Claim(Vec<u8>, u8, u32, u32),
    ForgetPort(u32),
    ForgetMac(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6, 1u8..4, 0u32..3).prop_map(|(ip, mac, port)| Step::Learn(ip, mac, port)),
        4 => (proptest::collection::vec(0u8..6, 0..4), 1u8..4, 0u32..3, 0u32..3)
            .prop_map(|(ips, mac, seq, origin)| Step::Claim(ips, mac, seq, origin)),
        1 => (0u32..3).prop_map(Step::ForgetPort),
        1 => (1u8..4).prop_map(Step::ForgetMac),
        1 => (0u16..400).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whoever_has_an_address_is_who_should_have_it(steps in proptest::collection::vec(step(), 0..60)) {
        let mut lab = Lab::new();
        let mut claims: std::collections::BTreeMap<(u8, u32), (Vec<u8>, u32)> = Default::default();
        for step in steps {
            match step {
                Step::Learn(ip, mac, port) => {
                    lab.learn(ip, mac, port);
                }
                Step::Claim(ips, mac, seq, origin) => {
                    lab.claim(&ips, mac, seq, origin);
                    let seq = if ips.is_empty() { 0 } else { seq };
                    claims.insert((mac, origin), (ips, seq));
                }
                Step::ForgetPort(id) => lab.table.forget_port(port(id)),
                Step::ForgetMac(last) => lab.table.forget_mac(vni(), mac(last)),
                Step::Wait(seconds) => lab.wait(Duration::from_secs(seconds.into())),
            }
            for last in 0..6 {
                let local = lab.table.local(At { vni: vni(), ip: ip(last) }).map(|local| (local.mac, true));
                let seq = |mac: u8| claims.iter().filter(|(k, _)| k.0 == mac).map(|(_, c)| c.1).max().unwrap_or(0);
                let claimants = claims.iter().filter(|(_, (ips, _))| ips.contains(&last)).map(|(k, _)| k.0);
                let best = claimants.min_by_key(|mac| (std::cmp::Reverse(seq(*mac)), *mac));
                prop_assert_eq!(lab.owner(last), local.or(best.map(|last| (mac(last), false))));
            }
            for owner in 1..4 {
                let mut ips = lab.table.ips_of(vni(), mac(owner)).0;
                ips.sort_unstable();
                let mut bound: Vec<_> = lab.table.bindings().into_iter()
                    .filter(|b| b.owner.local && b.owner.mac == mac(owner)).map(|b| b.ip).collect();
                bound.sort_unstable();
                prop_assert_eq!(ips, bound);
            }
        }
    }
}
