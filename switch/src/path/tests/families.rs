//! Nodes with an IPv4 and an IPv6 address: the one that works is used.

use super::*;

/// Nodes with both, all with traffic, for a while; IPv4 is used.
fn both(seed: u64, count: usize) -> World {
    let mut world = World::of(seed, count, Config::default()).over_both();
    for (a, b) in [(0, 1), (0, 2), (1, 2)].into_iter().filter(|(_, b)| *b < count) {
        world.talk(a, b);
    }
    world.run(15 * SECOND + millis(seed * 71));
    assert_eq!((world.path(0, 1).way, &world.path(0, 1).health), (VXLAN, &Health::Up));
    world
}

/// Drops an IP version between two nodes, or none.
fn filter(world: &mut World, family: Option<IpVersion>) {
    world.between(0, 1, |wire| wire.filter(None, family));
}

fn family(world: &World, from: usize, to: usize) -> IpVersion {
    world.path(from, to).way.family
}

#[test]
fn an_ip_version_that_dies_is_replaced_before_anybody_relays_and_comes_back() {
    let (mut slowest, mut slowest_back) = (Duration::ZERO, Duration::ZERO);
    for seed in 0..30 {
        let mut world = both(seed, 3);
        filter(&mut world, Some(IpVersion::V4));
        let end = world.now + 10 * SECOND;
        let on_v6 = |world: &World| [(0, 1), (1, 0)].map(|(a, b)| family(world, a, b)) == [IpVersion::V6; 2];
        slowest = slowest.max(world.until(3 * SECOND, on_v6));
        while world.now < end {
            world.run(millis(50));
            assert_eq!(world.path(0, 1).via, None, "seed {seed}");
        }
        assert_eq!((world.causes(0, 1), world.mtu(0, 1)), (vec!["other_family"], 1500), "seed {seed}");
        world.run_secs(30);
        assert!(on_v6(&world), "seed {seed}: it stays");
        filter(&mut world, None);
        let on_v4 = |world: &World| [(0, 1), (1, 0)].map(|(a, b)| family(world, a, b)) == [IpVersion::V4; 2];
        slowest_back = slowest_back.max(world.until(10 * SECOND, on_v4));
        world.run_secs(5);
        assert_eq!((&world.path(0, 1).health, world.path(0, 1).way), (&Health::Up, VXLAN), "seed {seed}");
    }
    println!("other IP version after {slowest:?}, back after {slowest_back:?} at most");
    assert!(slowest <= millis(1_400), "{slowest:?}");
    assert!(slowest_back <= 4 * SECOND, "{slowest_back:?}");
}

#[test]
fn a_pair_that_is_cut_whole_is_relayed_as_fast_as_with_one_ip_version() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        let mut world = both(seed, 3);
        world.between(0, 1, |wire| wire.cut = true);
        let relayed = |world: &World| world.path(0, 1).via.is_some() && world.path(1, 0).via.is_some();
        slowest = slowest.max(world.until(3 * SECOND, relayed));
        world.run_secs(10);
        // Only what was spare comes back.
        filter(&mut world, Some(IpVersion::V4));
        world.between(0, 1, |wire| wire.cut = false);
        let direct = |world: &World| world.path(0, 1).via.is_none() && family(world, 0, 1) == IpVersion::V6;
        let back = world.until(4 * SECOND, direct);
        assert!(back <= 3 * SECOND, "seed {seed}: {back:?}");
    }
    println!("relayed after {slowest:?} at most");
    assert!(slowest <= millis(1_500), "{slowest:?}");
}

#[test]
fn each_ip_version_has_its_own_mtu() {
    let mut world = both(1, 2);
    world.between(0, 1, |wire| wire.mtu_v6 = Some(1400));
    filter(&mut world, Some(IpVersion::V4));
    world.until(2 * SECOND, |world| family(world, 0, 1) == IpVersion::V6);
    let found = world.until(3 * SECOND, |world| world.mtu(0, 1) <= 1400);
    assert!(found <= millis(1_300), "{found:?}");
    world.run_secs(20);
    assert!((1397..=1400).contains(&world.mtu(0, 1)), "{}", world.mtu(0, 1));

    filter(&mut world, None);
    world.until(5 * SECOND, |world| family(world, 0, 1) == IpVersion::V4);
    assert!(world.mtu(0, 1) <= 1400, "what makes one smaller may lie on both");
    let grown = world.until(30 * SECOND, |world| world.mtu(0, 1) == 1500);
    println!("1400 found {found:?} after the change, 1500 of the other one after {grown:?}");

    // What was found holds, so that nothing vanishes the next time.
    filter(&mut world, Some(IpVersion::V4));
    world.until(2 * SECOND, |world| family(world, 0, 1) == IpVersion::V6);
    assert!((1397..=1400).contains(&world.mtu(0, 1)), "{}", world.mtu(0, 1));
}

#[test]
fn an_icmp_error_about_the_address_that_is_not_used_changes_nothing() {
    let mut world = both(1, 2);
    let (spare, now) = (world.target(1).spare.unwrap(), world.now);
    world.nodes[0].engine.handle_too_big(spare.vxlan, 1300, now);
    world.nodes[0].engine.handle_refused(spare.geneve, 1480, now);
    world.collect(0);
    world.run_secs(5);
    assert_eq!((world.mtu(0, 1), world.nodes[0].changes), (1500, 0));
    filter(&mut world, Some(IpVersion::V4));
    world.until(2 * SECOND, |world| family(world, 0, 1) == IpVersion::V6);
    world.nodes[0].engine.handle_refused(spare.geneve, 1480, world.now);
    world.collect(0);
    assert_eq!(world.mtu(0, 1), 1280);
}

#[test]
fn an_ip_version_that_takes_much_longer_is_used_nevertheless_and_no_outage() {
    let mut world = both(1, 2);
    world.between(0, 1, |wire| wire.later_v6 = millis(250));
    world.run_secs(20);
    assert_eq!((world.path(0, 1).way, &world.path(0, 1).health), (VXLAN, &Health::Up));
    filter(&mut world, Some(IpVersion::V4));
    let time = world.until(4 * SECOND, |world| family(world, 0, 1) == IpVersion::V6);
    world.run_secs(30);
    println!("half a second of round trip: after {time:?}");
    assert_eq!(world.causes(0, 1), ["other_family"]);
}

#[test]
fn where_only_one_port_of_one_address_works_that_is_used() {
    let mut world = both(1, 2);
    let works = Way { family: IpVersion::V6, format: Format::Geneve };
    world.between(0, 1, |wire| wire.filter(Some(Format::Vxlan), Some(IpVersion::V4)));
    world.until(4 * SECOND, |world| world.path(0, 1).way == works);
    world.run_secs(10);
    assert_eq!(world.causes(0, 1), ["other_format", "other_family"]);
    filter(&mut world, Some(IpVersion::V6));
    world.until(4 * SECOND, |world| world.path(0, 1).way == VXLAN);
}

#[test]
fn a_spare_ip_version_that_never_works_does_no_harm() {
    let mut world = World::of(1, 2, Config::default()).over_both();
    filter(&mut world, Some(IpVersion::V6));
    world.talk(0, 1);
    world.run_secs(60);
    assert_eq!((world.path(0, 1).way, &world.path(0, 1).health), (VXLAN, &Health::Up));
    world.between(0, 1, |wire| wire.mtus = vec![1280]);
    let time = world.until(3 * SECOND, |world| world.mtu(0, 1) == 1280);
    assert!(time <= millis(1_400), "{time:?}");
}

#[test]
fn heavy_loss_keeps_the_path_alive_with_two_ip_versions_too() {
    let mut world = World::of(1, 2, Config::default()).over_both();
    world.rest.loss = 20.0;
    world.talk(0, 1);
    let (mut changes, mut last) = (0, VXLAN);
    for _ in 0..600 {
        world.run_secs(1);
        assert!(!world.causes(0, 1).contains(&"unanswered"), "after {:?}", world.now - world.begin);
        let way = world.path(0, 1).way;
        changes += u32::from(way.family != last.family);
        last = way;
    }
    println!("20 % loss: {changes} changes of the IP version in ten minutes");
    assert!(changes <= 6, "{changes}");
}

#[test]
fn an_address_that_is_lost_or_new_changes_nothing_for_the_other() {
    let mut world = both(1, 2);
    let target = world.target(1);
    let now = world.now;
    let one = |site| Target { site, spare: None, ..target };
    // No route by IPv4 any more.
    world.nodes[0].engine.set_targets(&[one(target.spare.unwrap())], now);
    world.collect(0);
    assert_eq!((family(&world, 0, 1), &world.path(0, 1).health), (IpVersion::V6, &Health::Up));
    world.run_secs(5);
    assert_eq!(world.path(0, 1).health, Health::Up);
    world.tell(0);
    assert_eq!(family(&world, 0, 1), IpVersion::V6, "not before it answers");
    world.until(5 * SECOND, |world| family(world, 0, 1) == IpVersion::V4);
    // And none by IPv6, which was not used.
    let (before, now) = (world.nodes[0].changes, world.now);
    world.nodes[0].engine.set_targets(&[one(target.site)], now);
    world.collect(0);
    world.run_secs(5);
    assert_eq!(world.nodes[0].changes, before);
}

#[test]
fn a_format_that_changes_stays_on_the_ip_version_that_works() {
    let mut world = both(1, 2);
    filter(&mut world, Some(IpVersion::V4));
    world.until(2 * SECOND, |world| family(world, 0, 1) == IpVersion::V6);
    world.format = Format::Geneve;
    world.meet();
    assert_eq!(world.path(0, 1).way, Way { family: IpVersion::V6, format: Format::Geneve });
    world.run_secs(5);
    assert_eq!(world.causes(0, 1), ["other_family"]);
}
