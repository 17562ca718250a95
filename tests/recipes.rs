//! The recipes of README.md, run word for word: each on hosts with the addresses that README.md has, each with its
//! pings, its undo, and nothing left.

#[path = "recipes/hosts.rs"]
mod hosts;
#[path = "recipes/readme.rs"]
mod readme;
#[path = "recipes/trickle.rs"]
mod trickle;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hosts::Hosts;
use readme::{Block, DAEMONS, Phase, Place, Recipe, recipe};
use trickle::Trickle;
use weft_tests::tcp::assert_transfer;
use weft_tests::wait;

/// Octets of a stream that is long enough to reach full super-frames.
const STREAM: usize = 2 << 20;
/// The longest that a TCP stream may stand still while its hosts move.
const GAP: Duration = wait::secs(3);
/// Bring up a container engine for one host, or its stand-in.
const DOCKER: &str = concat!(include_str!("recipes/engine.sh"), include_str!("recipes/docker.sh"));
const PODMAN: &str = concat!(include_str!("recipes/engine.sh"), include_str!("recipes/podman.sh"));
/// Uses a namespace for a virtual machine.
const MACHINE: &str = "PATH=$STAND_INS:$PATH";
/// Copies files between hosts, each with a state directory of its own.
const APART: &str = "PATH=$STAND_INS:$PATH\nmount -t tmpfs none /var/lib\n";

/// Starts weft while the kernel's device has its UDP port, and looks for who has it in what weft says.
const TOO_EARLY: &str = r#"
printf '[underlay]\naddress = "10.0.0.1"\n[[network]]\nname = "pods"\nvni = 100\n' >early.toml
if timeout 10 weft run --config early.toml 2>early.log; then exit 1; fi
grep 'UDP 10.0.0.1:4789 is in use by kernel VXLAN device vxlan100' early.log
rm early.toml early.log
"#;

/// A recipe and the hosts that it runs on.
struct Run {
    hosts: Hosts,
    recipe: Recipe,
    daemons: Vec<Block>,
    /// What was on each host, in their order.
    before: Vec<Vec<String>>,
}

impl Run {
    /// Makes the hosts of a recipe, and what it expects to find there, with these lines on hosts A and B.
    #[track_caller]
    fn prepare(title: &str, lines: &str) -> Self {
        let recipe = recipe(title);
        let daemons = if recipe.needs_daemons { self::recipe(DAEMONS).blocks } else { Vec::new() };
        let has_c = recipe.blocks.iter().any(|block| block.place == Place::Host('C'));
        let letters: &[char] = if has_c { &['A', 'B', 'C'] } else { &['A', 'B'] };
        let mut hosts = Hosts::new(letters);
        for &letter in letters {
            hosts.host(letter).run(lines);
            print!("{}", hosts.host(letter).note("engine.used"));
        }
        run(&mut hosts, &recipe.blocks, Phase::Before);
        let mut run = Self { hosts, recipe, daemons, before: Vec::new() };
        run.remember();
        run
    }

    /// Takes what is on the hosts now for what is to be there in the end.
    #[track_caller]
    fn remember(&mut self) {
        let letters: Vec<_> = self.hosts.all().iter().map(|host| host.letter).collect();
        self.before = letters.into_iter().map(|letter| self.hosts.host(letter).state()).collect();
    }

    /// Runs the recipe, with its pings; then no daemon has anything to complain of.
    #[track_caller]
    fn cook(&mut self) {
        run(&mut self.hosts, &self.daemons, Phase::Do);
        run(&mut self.hosts, &self.recipe.blocks, Phase::Do);
        for letter in ['A', 'B'] {
            self.hosts.host(letter).run("weft status");
        }
    }

    /// Runs its undo, and expects every host to be as it was.
    #[track_caller]
    fn undo(mut self) {
        run(&mut self.hosts, &self.recipe.blocks, Phase::Undo);
        run(&mut self.hosts, &self.daemons, Phase::Undo);
        let letters: Vec<_> = self.hosts.all().iter().map(|host| host.letter).collect();
        for (letter, before) in letters.into_iter().zip(&self.before) {
            self.hosts.host(letter).assert_as_before(before);
        }
    }
}

/// Runs the blocks of a phase in their order.
#[track_caller]
fn run(hosts: &mut Hosts, blocks: &[Block], phase: Phase) {
    for block in blocks.iter().filter(|block| block.phase == phase) {
        match block.place {
            Place::Host(letter) => hosts.host(letter).run(&block.text),
            Place::Both => ['A', 'B'].into_iter().for_each(|letter| hosts.host(letter).run(&block.text)),
            Place::Vm => hosts.host('A').run(&in_vm(&block.text)),
        }
    }
}

/// Lines that run others in the machine that stands for a VM.
fn in_vm(lines: &str) -> String {
    format!("nsenter --target \"$(cat vm1.pid)\" --net -- bash -eu <<'LINES'\n{lines}LINES\n")
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn two_network_namespaces() {
    let mut run = Run::prepare("Two network namespaces", "");
    run.cook();
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn three_hosts_and_one_address_to_join() {
    let mut run = Run::prepare("Three hosts, one address to join", APART);
    run.cook();
    run.hosts.host('C').run("weft status; ip netns exec pod-c ping -c 1 10.32.0.2");
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn docker_containers() {
    let mut run = Run::prepare("Docker containers", DOCKER);
    run.cook();
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn podman_containers() {
    let mut run = Run::prepare("Podman containers", PODMAN);
    run.cook();
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_virtual_machine_behind_a_bridge() {
    let mut run = Run::prepare("A QEMU VM behind a Linux bridge", MACHINE);
    run.cook();
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn the_host_itself() {
    let mut run = Run::prepare("The host itself on the overlay", "");
    run.cook();
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn a_mixed_network() {
    let mut run = Run::prepare("A mixed network with a kernel VXLAN host", "");
    run.cook();
    let address = |n| IpAddr::from([10, 32, 0, n]);
    let [a, b, c] = run.hosts.all() else { panic!("three hosts") };
    for (from, to, n) in [(c, a, 1), (a, c, 9), (c, b, 2), (a, b, 2)] {
        assert_transfer(&from.ns, (&to.ns, address(n)), STREAM);
    }
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn moving_from_a_kernel_device_keeps_connections() {
    let mut run = Run::prepare("Moving from `ip link add type vxlan`", "");
    // As if the hosts had network cards, which finish checksums; README.md tells what a veth leaves to do.
    run.hosts.all().iter().for_each(|host| drop(host.ns.exec("ethtool -K eth0 tx off")));
    run.hosts.host('A').run(TOO_EARLY);
    run.remember();
    let [a, b] = run.hosts.all() else { panic!("two hosts") };
    let stream = Trickle::open(&a.ns, (&b.ns, SocketAddr::from(([10, 32, 0, 2], 5300))));
    run.cook();
    let longest = stream.close();
    println!("longest gap of a TCP stream while both hosts moved: {longest:?}");
    assert!(longest < GAP, "a TCP stream stood still for {longest:?}");
    run.undo();
}

#[test]
#[ignore = "needs root: run by test.sh"]
#[should_panic(expected = "a line fails")]
fn a_ping_without_an_answer_fails_its_recipe() {
    let mut hosts = Hosts::new(&['A']);
    hosts.host('A').run("ping -c 1 -W 1 10.0.0.77\necho not reached\n");
}

#[test]
#[ignore = "needs root: run by test.sh"]
fn what_a_recipe_leaves_is_noticed() {
    let mut hosts = Hosts::new(&['A']);
    let host = hosts.host('A');
    let before = host.state();
    host.run("ip link add left type bridge\nip netns add left\nsleep 60 &\necho > left.toml\nethtool -K eth0 tx off\n");
    let more: Vec<_> = host.state().into_iter().filter(|line| !before.contains(line)).collect();
    for expected in
        ["link left", "namespace left", "process sleep", "file ./left.toml", "setting tx-checksumming"]
    {
        assert!(more.iter().any(|line| line.starts_with(expected)), "{expected} is not among {more:#?}");
    }
    host.run("kill %1\nip link del left\nip netns del left\nrm left.toml\nethtool -K eth0 tx on\n");
    host.assert_as_before(&before);
}
