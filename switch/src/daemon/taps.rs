//! The TAPs of this host's ports. They outlive everything else of the daemon: a pod notices nothing when the host's own
//! address changes, wherever somebody moved its device.

use std::collections::HashMap;
use std::sync::Arc;

use encap::{MacAddr, Mtu, PortId};

use crate::control::devices::{OpenPort, PortError, PortSpec};
use crate::io::link::{Link, LinkSetup, Links};
use crate::io::netns::{Netns, NetnsRef, run_in};
use crate::io::tap::{Setup, Tap, Wanted};

/// The open TAPs.
#[derive(Default)]
pub(super) struct Taps(HashMap<PortId, Port>);

struct Port {
    tap: Arc<Tap>,
    namespace: Option<Netns>,
    index: u32,
    ifname: String,
    mac: MacAddr,
}

impl Taps {
    /// Makes a TAP, or takes over the one that is there.
    pub(super) fn open(&mut self, spec: &PortSpec, wanted: Wanted) -> Result<OpenPort, PortError> {
        let namespace = match &spec.netns {
            None => None,
            Some(name) => Some(name.open().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => PortError::NamespaceMissing(name.clone()),
                _ => PortError::Failed(explain_namespace(&error, name)),
            })?),
        };
        let setup = Setup {
            ifname: &spec.ifname,
            mac: spec.mac,
            mtu: spec.mtu,
            addresses: &spec.addresses,
            gateway: spec.gateway,
            wanted,
        };
        let (tap, link) = Tap::open(namespace.as_ref(), &setup)
            .map_err(|error| PortError::Failed(explain_open(&error, spec.netns.as_ref())))?;
        // It outlives a crash, so that the next start takes it over with its addresses and routes.
        tap.set_persist(true).map_err(|error| PortError::Failed(error.to_string()))?;
        let mac =
            link.mac.ok_or_else(|| PortError::Failed(format!("TAP {} has no MAC address", link.name)))?;
        let open = OpenPort {
            mac,
            mtu: Mtu::new(link.mtu).unwrap_or(spec.mtu),
            offloads: tap.granted().names(),
            netns_identity: namespace.as_ref().map(Netns::identity),
        };
        let index = tap.index();
        self.0
            .insert(spec.id, Port { tap: Arc::new(tap), namespace, index, ifname: spec.ifname.clone(), mac });
        Ok(open)
    }

    /// Lets a TAP go; its device stays when `keep` is set.
    pub(super) fn close(&mut self, id: PortId, keep: bool) {
        let Some(port) = self.0.get(&id) else { return };
        // One that somebody deleted is gone already.
        let _ = port.tap.set_persist(keep);
        if !keep {
            // It goes at once, not when the last worker lets go of it: its name is free for a new port then, and no
            // worker waits for the kernel to take it apart. Where it was moved or changed by others, that has to do.
            self.with_link(id, |links, link| {
                let ours = link.kind.as_deref() == Some("tun")
                    && (&link.name, link.mac) == (&port.ifname, Some(port.mac));
                if ours { links.delete(link.index) } else { Ok(()) }
            });
        }
        self.0.remove(&id);
    }

    /// Lets all of them go.
    pub(super) fn close_all(&mut self, keep: bool) {
        for id in self.0.keys().copied().collect::<Vec<_>>() {
            self.close(id, keep);
        }
    }

    /// The MTU of a device as it is now.
    pub(super) fn mtu(&self, id: PortId) -> Option<Mtu> {
        self.with_link(id, |_, link| Ok(link.mtu)).and_then(|mtu| Mtu::new(mtu).ok())
    }

    /// Sets the MTU of a device that has still the one that was set before, and whether it had.
    pub(super) fn change_mtu(&self, id: PortId, from: Mtu, to: Mtu) -> bool {
        let changed = self.with_link(id, |links, link| {
            let setup = LinkSetup { mtu: Some(to), ..LinkSetup::default() };
            let ours = link.mtu == u32::from(from);
            if ours { links.configure(link.index, &setup).map(|()| true) } else { Ok(false) }
        });
        changed.unwrap_or(false)
    }

    /// Frames that found a device's queue full.
    pub(super) fn dropped(&self) -> u64 {
        self.0.keys().filter_map(|&id| self.with_link(id, |_, link| Ok(link.dropped))).sum()
    }

    /// How many of them were there already when they were opened.
    pub(super) fn taken_over(&self) -> usize {
        self.0.values().filter(|port| port.tap.taken_over()).count()
    }

    /// For the workers.
    pub(super) fn shared(&self) -> HashMap<PortId, Arc<Tap>> {
        self.0.iter().map(|(&id, port)| (id, Arc::clone(&port.tap))).collect()
    }

    fn with_link<T: Send>(
        &self,
        id: PortId,
        work: impl FnOnce(&Links, &Link) -> std::io::Result<T> + Send,
    ) -> Option<T> {
        let port = self.0.get(&id)?;
        let inside = move || {
            let links = Links::open()?;
            let link = links.by_index(port.index)?.ok_or(std::io::ErrorKind::NotFound)?;
            work(&links, &link)
        };
        match &port.namespace {
            Some(namespace) => run_in(namespace, inside).ok(),
            None => inside().ok(),
        }
    }
}

fn explain_namespace(error: &std::io::Error, name: &NetnsRef) -> String {
    let next = match (error.kind(), name) {
        (std::io::ErrorKind::PermissionDenied, NetnsRef::Pid(_)) => {
            "the process of another user needs CAP_SYS_PTRACE: run as root"
        }
        (std::io::ErrorKind::PermissionDenied, NetnsRef::Path(_)) => {
            "let the user that runs weft read the file"
        }
        _ => "name a file that stands for a network namespace, such as those in /run/netns, or pid:N",
    };
    format!("cannot open network namespace {name}: {error}; {next}")
}

/// A refusal to enter a namespace comes without a word of what was tried.
fn explain_open(error: &std::io::Error, netns: Option<&NetnsRef>) -> String {
    match (error.raw_os_error(), netns) {
        (Some(libc::EPERM), Some(netns)) => {
            format!("cannot enter network namespace {netns}: {error}; it needs CAP_SYS_ADMIN: run as root")
        }
        _ => error.to_string(),
    }
}
