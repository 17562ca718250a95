//! What probing costs: octets of outer IP packets that one node sends, replies included.

use super::*;

const MINUTE: u64 = 60;

/// Octets a second that node 0 sends.
fn rate(world: &mut World, seconds: u64) -> u64 {
    let before = world.nodes[0].octets;
    world.run_secs(seconds);
    (world.nodes[0].octets - before) / seconds
}

#[test]
fn an_idle_peer_costs_at_most_200_octets_a_second() {
    for (v6, format, link) in
        [(false, Format::Vxlan, 1500), (true, Format::Geneve, 1500), (false, Format::Vxlan, 9000)]
    {
        for small in [false, true] {
            let mut world = World::of(1, 2, Config::default());
            (world.format, world.link, world.rest.mtus) = (format, link, vec![link]);
            if small {
                world.rest.mtus = vec![1400];
            }
            if v6 {
                world = world.over_ipv6();
            } else {
                world.meet();
            }
            world.run_secs(2 * MINUTE);
            let rate = rate(&mut world, 10 * MINUTE);
            println!("idle, {format}, link {link}, v6 {v6}, small path {small}: {rate} B/s");
            assert!(rate <= 200, "{rate}");
        }
    }
}

#[test]
fn a_peer_with_traffic_costs_at_most_4_kilobytes_a_second() {
    for (v6, format, link, loss) in [
        (false, Format::Vxlan, 1500, 0.0),
        (true, Format::Geneve, 1500, 0.0),
        (true, Format::Geneve, 1500, 5.0),
        (false, Format::Vxlan, 9000, 0.0),
        (false, Format::Vxlan, 1500, 20.0),
    ] {
        let mut world = World::of(1, 2, Config::default());
        (world.format, world.link, world.rest) =
            (format, link, Wire { mtus: vec![link], loss, ..Wire::good() });
        if v6 {
            world = world.over_ipv6();
        } else {
            world.meet();
        }
        world.talk(0, 1);
        world.run_secs(30);
        let rate = rate(&mut world, 2 * MINUTE);
        println!("active, {format}, link {link}, v6 {v6}, loss {loss} %: {rate} B/s");
        assert!(rate <= 4_000, "{rate}");
    }
}

#[test]
fn nodes_with_both_ip_versions_cost_no_more_whatever_works() {
    let mut results = Vec::new();
    for dead in [None, Some(IpVersion::V4), Some(IpVersion::V6)] {
        for format in [Format::Vxlan, Format::Geneve] {
            for talks in [false, true] {
                let mut world = World::of(1, 2, Config::default());
                world.format = format;
                let mut world = world.over_both();
                world.between(0, 1, |wire| wire.filter(None, dead));
                if talks {
                    world.talk(0, 1);
                }
                world.run_secs(2 * MINUTE);
                let rate = rate(&mut world, 10 * MINUTE);
                println!("both, {format}, dead {dead:?}, traffic {talks}: {rate} B/s");
                results.push((rate, if talks { 4_000 } else { 200 }));
            }
        }
    }
    assert!(results.iter().all(|(rate, most)| rate <= most), "{results:?}");
}

#[test]
fn a_black_hole_that_comes_and_goes_costs_hardly_more() {
    let mut world = World::new(1, 2);
    world.talk(0, 1);
    world.run_secs(30);
    let before = world.nodes[0].octets;
    for n in 0..20 {
        world.between(0, 1, |wire| wire.mtus = vec![if n % 2 == 0 { 1280 } else { 1500 }]);
        world.run_secs(15);
    }
    let rate = (world.nodes[0].octets - before) / 300;
    println!("black hole each 30 s: {rate} B/s");
    assert!(rate <= 4_000, "{rate}");
}

#[test]
fn a_path_that_is_cut_costs_no_more_than_one_that_works() {
    let mut world = World::new(1, 3);
    world.talk(0, 1);
    world.run_secs(30);
    world.between(0, 1, |wire| wire.cut = true);
    world.run_secs(10);
    let rate = rate(&mut world, MINUTE);
    println!("cut and relayed: {rate} B/s for both peers");
    assert!(rate <= 4_000, "{rate}");
}

fn refused(world: &World) -> u64 {
    world.nodes[0].refused.get("rate").copied().unwrap_or(0)
}

/// One node that knows many others, of which each knows this one only.
fn hub(others: usize, active: bool) -> World {
    let mut world = World::of(1, others + 1, Config::default());
    let targets: Vec<Target> = (0..=others).map(|n| world.target(n)).collect();
    let now = world.now;
    world.nodes[0].engine.set_targets(&targets, now);
    for n in 1..=others {
        world.nodes[n].engine.set_targets(&targets[..1], now);
        if active {
            world.talk(0, n);
        }
    }
    (0..=others).for_each(|n| world.collect(n));
    world
}

#[test]
fn a_node_sends_at_most_50_kilobytes_a_second_however_many_peers_it_has() {
    for (others, active) in [(100, false), (100, true), (1_000, false), (1_000, true)] {
        let mut world = hub(others, active);
        let first = rate(&mut world, 10);
        // With a thousand peers that all begin at once it takes a while until each knows how rarely to probe.
        world.run_secs(20 + others as u64 / 25);
        let refused_first = refused(&world);
        let rate = rate(&mut world, 30);
        let up = world.nodes[0].paths.values().filter(|path| path.health == Health::Up).count();
        println!(
            "{others} peers, active {active}: {rate} B/s, {first} B/s in the first ten seconds, {up} up"
        );
        assert!(rate <= 50_000 && first <= 50_000, "{rate} {first}");
        assert_eq!(up, others);
        let refused = refused(&world) - refused_first;
        println!("{refused_first} probes not answered at first, {refused} later");
        assert!(refused < 10, "{refused}");
        let probed = (1..=others).filter(|n| world.view(0, *n).probes_answered > 0).count();
        assert_eq!(probed, others, "everybody has its turn");
    }
}

#[test]
fn with_many_active_peers_a_black_hole_is_found_later_in_proportion() {
    for (others, most) in [(5, 1_300), (11, 1_300), (20, 2_400), (40, 4_500)] {
        let times = (0..8).map(|n| {
            let mut world = hub(others, true);
            world.run(20 * SECOND + millis(n * 137));
            let at = 1 + n as usize % others;
            world.between(0, at, |wire| wire.mtus = vec![1280]);
            world.until(20 * SECOND, |world| world.mtu(0, at) == 1280)
        });
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        println!("{others} active peers: black hole found after {:?}, {:?} at most", times[4], times[7]);
        assert!(times[7] <= millis(most), "{others}: {times:?}");
    }
}
