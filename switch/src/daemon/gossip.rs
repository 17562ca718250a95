//! Gossip of the daemon: identity, keys and sockets first, so that what is wrong with them is said before anything starts.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};
use fdb::gossip::engine::Setup;
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::seal::{Mode, Process};

use crate::control::GossipSetup;
use crate::control::config::Config;
use crate::gossip::{self, Fatal, Link, Start};
use crate::io::state::Identity;
use crate::io::{keyfile, owner, random};
use crate::log::say;

/// Gossip that is ready to start.
pub(super) struct Prepared {
    start: Start,
    link: Link,
    node: NodeId,
    boot: BootId,
}

impl Prepared {
    /// Reads identity and keys and binds the sockets; `known` are nodes to be called besides those of `join`. The identity's new epoch is on the disk afterwards.
    pub(super) fn new(config: &Config, addresses: &[IpAddr], known: &[SocketAddr]) -> Result<Option<Self>> {
        let Some(gossip) = &config.gossip else { return Ok(None) };
        let listen = gossip.listen_on(addresses).context("[gossip] listen")?;
        let mode = match &gossip.key_file {
            Some(file) => Mode::Sealed(keyfile::load(file)?),
            None => Mode::Insecure,
        };
        let (udp, tcp) = bind(listen)?;
        let identity = Identity::start(&config.node.state_dir)?;
        if let Some(damage) = identity.damage() {
            say!(StateDamaged, "{damage}");
        }
        let (node, boot) = (identity.node(), BootId::new(random::random_u128()?));
        let setup = Setup {
            me: Process { node, boot },
            epoch: identity.epoch(),
            name: config.node.name.clone(),
            addr: SocketAddr::new(config.underlay.seen_as(listen.ip()), listen.port()),
            mode,
            members: fdb::gossip::members::Config::default(),
            replica: fdb::replica::Config::default(),
        };
        let (key_file, join) = (gossip.key_file.clone(), gossip.join.clone());
        let start = Start { setup, udp, tcp, identity, key_file, join, known: known.to_vec() };
        Ok(Some(Self { start, link: Link::default(), node, boot }))
    }

    /// This run of this node, and the keys.
    pub(super) fn seal(&self) -> (Process, Mode) {
        (self.start.setup.me, self.start.setup.mode.clone())
    }

    /// What control needs of it.
    pub(super) fn setup(&self) -> GossipSetup {
        GossipSetup { link: self.link.clone(), node: self.node, boot: self.boot }
    }

    pub(super) fn start(self) -> Result<Running> {
        let Self { start, link, node, .. } = self;
        let (listen, epoch) = (start.setup.addr, start.identity.epoch().get());
        if matches!(start.setup.mode, Mode::Insecure) {
            say!(
                GossipInsecure,
                cause = "insecure_gossip",
                "gossip runs without keys: anybody who reaches this node can join and redirect traffic; make a key with \
                 `weft key new` and name it in [gossip] key_file"
            );
        }
        let thread = gossip::start(start, link.clone()).context("cannot start gossip")?;
        say!(GossipStarted, %node, epoch, %listen, "gossip is up");
        Ok(Running { link, thread })
    }
}

/// Gossip on its thread.
pub(super) struct Running {
    link: Link,
    thread: JoinHandle<Result<(), Fatal>>,
}

impl Running {
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Whether the thread ended by itself, or because it was told to leave.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Says goodbye, if that was not done, and tells why gossip ended, if that was no goodbye.
    pub(super) fn end(self) -> Result<()> {
        if !self.thread.is_finished() {
            // The goodbye is a courtesy: without it the others find out in some seconds.
            let _ = self.link.command(gossip::Command::Leave);
        }
        match self.thread.join() {
            Ok(result) => Ok(result?),
            Err(_) => Err(anyhow!("gossip panicked; the log has its message. Please report it")),
        }
    }
}

fn bind(listen: SocketAddr) -> Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(listen).map_err(|error| explain(&error, listen, "UDP"))?;
    let tcp = TcpListener::bind(listen).map_err(|error| explain(&error, listen, "TCP"))?;
    Ok((udp, tcp))
}

fn explain(error: &std::io::Error, listen: SocketAddr, transport: &str) -> anyhow::Error {
    let key = "[gossip] listen";
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => anyhow!(
            "this host does not have the address {} to listen for gossip: correct {key}; ip address shows what there is",
            listen.ip()
        ),
        std::io::ErrorKind::AddrInUse if transport == "UDP" => {
            let owner = owner::udp_port_owner(listen.ip(), listen.port());
            let owner = owner.map_or_else(|| "another program".to_owned(), |owner| owner.name);
            anyhow!("{transport} {listen} is in use by {owner}: stop it, or choose another port in {key}")
        }
        std::io::ErrorKind::AddrInUse => anyhow!(
            "{transport} {listen} is in use by another program: stop it (as root, `ss -ltnp` names it), or choose another \
             port in {key}"
        ),
        _ => anyhow!("cannot listen for gossip on {transport} {listen}: {error}; look at {key}"),
    }
}
