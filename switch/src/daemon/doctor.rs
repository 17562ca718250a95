//! What the doctor asks of the host: gathered on a thread of its own, as a host may have a million routes; and what it asks
//! where no daemon runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::underlay_addresses;
use crate::control::config::Config;
use crate::doctor::{HeldPort, HostFacts, HostQuestions, HostRoute, StartFacts, UnderlayLink, Way, overlap};
use crate::io::link::Links;
use crate::io::{host, keyfile, owner, state};

/// Looks at the host whenever it is asked to.
#[derive(Default)]
pub(super) struct Examiner {
    facts: Arc<Mutex<HostFacts>>,
    thread: Option<JoinHandle<()>>,
    errors_before: u64,
}

impl Examiner {
    /// Begins; one that still looks goes on instead.
    pub(super) fn begin(&mut self, questions: HostQuestions) {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        self.errors_before = host::udp_checksum_errors();
        let facts = Arc::clone(&self.facts);
        let look = move || {
            let found = look_at_host(&questions);
            *facts.lock().unwrap_or_else(PoisonError::into_inner) = found;
        };
        // A host that can start no thread has other troubles; its last facts stay.
        self.thread = std::thread::Builder::new().name("doctor".to_owned()).spawn(look).ok();
    }

    /// What was found last.
    pub(super) fn facts(&self) -> HostFacts {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let total = host::udp_checksum_errors();
        facts.checksum_errors.total = total;
        facts.checksum_errors.lately = total.saturating_sub(self.errors_before);
        facts
    }
}

/// What the host says; what it does not say is absent.
pub(crate) fn look_at_host(questions: &HostQuestions) -> HostFacts {
    let Ok(links) = Links::open() else { return HostFacts::default() };
    let HostQuestions { addresses, peers, pods } = questions;
    let link = |address: &IpAddr| {
        let link = links.by_address(*address).ok()??;
        Some(UnderlayLink {
            address: *address,
            mtu: link.mtu,
            // Nothing comes in by a loopback or dummy device, where routers have addresses that outlive their links.
            strict: address.is_ipv4() && !link.is_internal() && host::filters_reverse_path(&link.name),
            checksums: host::computes_checksums(&link.name),
            gro: host::joins_datagrams(&link.name),
            device: link.name,
        })
    };
    let way = |to: &IpAddr| {
        let from = addresses.iter().find(|own| own.is_ipv4() == to.is_ipv4())?;
        Some(Way { to: *to, device: links.link_name_to(*to, *from).ok()?? })
    };
    let routes = links.routes(|net| pods.iter().any(|pods| overlap(pods, &net))).unwrap_or_default();
    HostFacts {
        links: addresses.iter().filter_map(link).collect(),
        ways: peers.iter().filter_map(way).collect(),
        routes: routes.into_iter().map(|(net, device)| HostRoute { net, device }).collect(),
        ..HostFacts::default()
    }
}

/// What a daemon with this configuration would find if it started now, and its underlay addresses. Nothing is changed.
pub(crate) fn look_before_start(config: &Config, start: StartFacts) -> (StartFacts, Vec<IpAddr>) {
    let found = underlay_addresses(config);
    let no_address = found.as_ref().err().map(ToString::to_string);
    let addresses = found.unwrap_or_default();
    let has = |ip: &IpAddr| Links::open().is_ok_and(|links| matches!(links.by_address(*ip), Ok(Some(_))));
    let gossip = config.gossip.as_ref();
    let key_file = gossip.and_then(|gossip| gossip.key_file.as_deref());
    let facts = StartFacts {
        no_address,
        missing: addresses.iter().filter(|ip| !has(ip)).copied().collect(),
        held: held_ports(config, &addresses),
        key_file: key_file.and_then(|file| keyfile::load(file).err()).map(|error| error.to_string()),
        state_dir: gossip
            .and_then(|_| state::look_at(&config.node.state_dir).err())
            .map(|error| error.to_string()),
        insecure: gossip.is_some_and(|gossip| gossip.insecure),
        ..start
    };
    (facts, addresses)
}

fn held_ports(config: &Config, addresses: &[IpAddr]) -> Vec<HeldPort> {
    let underlay = [
        ("[underlay] vxlan_port", config.underlay.vxlan_port),
        ("[underlay] geneve_port", config.underlay.geneve_port),
    ];
    let data = addresses.iter().flat_map(|ip| underlay.map(|(key, port)| (key, SocketAddr::new(*ip, port))));
    let gossip = config.gossip.as_ref().and_then(|gossip| gossip.listen_on(addresses));
    let wanted = data.chain(gossip.map(|address| ("[gossip] listen", address)));
    let held = wanted.filter_map(|(key, address)| {
        let owner = owner::udp_port_owner(address.ip(), address.port())?;
        Some(HeldPort { address, key, owner: owner.name, remedy: owner.remedy })
    });
    held.collect()
}
