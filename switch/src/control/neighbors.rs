//! Who has which IP address: what ports tell and are given, what other nodes claim, and what people and pods are told.

use std::time::Instant;

use encap::neighbor::{Binding, announcement};
use encap::{MacAddr, PortId, Vni};
use fdb::Location;
use fdb::neighbor::{BindingView, Claim, Duplicate, Heard};
use ipnet::IpNet;

use super::Control;
use super::devices::Devices;
use super::ports::State;
use super::protocol::{ErrorReply, Neigh, NeighEntry, Reply};
use super::report::{Owners, seconds};
use crate::log::say;

/// Announcements of one round: the workers have frames of others to move. The rest waits for the next round, half a
/// second at most.
const ROUND: usize = 64;

impl<D: Devices> Control<D> {
    /// Takes in what another node says of a MAC address, instead of what it said before. Called after the FDB has it, so
    /// that addresses of one that moved away are not kept for it here; the entry point that calls it tells the pods.
    pub(super) fn neighbor_claim(&mut self, claim: &Claim<'_>) {
        if !self.is_local(claim.vni, claim.mac) {
            self.neighbors.forget_mac(claim.vni, claim.mac);
        }
        self.neighbors.claim(claim);
    }

    /// Takes in what a port told; ignored unless the MAC address lives there.
    pub(super) fn bind(&mut self, vni: Vni, told: Binding, port: PortId, now: Instant) {
        let here = Location::Local(port);
        let lives_here = self.table.entry(vni, told.mac).is_some_and(|entry| entry.location == here);
        let network = self.config.networks.iter().find(|network| network.vni == vni);
        if let Some(age) = network.map(|network| network.mac_age)
            && lives_here
            && self.is_on(here, vni)
        {
            self.neighbors.learn(&Heard { vni, told, port, now, age });
        }
    }

    /// Gives ports the addresses that they are configured with.
    pub(super) fn restore_bindings(&mut self) {
        for port in self.ports.values() {
            let (State::Up { id, open, since, .. }, Some(vni)) =
                (&port.state, self.vni_of(&port.config.network))
            else {
                continue;
            };
            let ips: Vec<_> = port.config.addresses.iter().map(IpNet::addr).collect();
            self.neighbors.configure(*id, (vni, open.mac), &ips, *since);
        }
    }

    /// Tells people of duplicates, and pods who has an address instead of whom they knew.
    pub(super) fn tell_of_neighbors(&mut self) {
        while let Some(Duplicate { vni, ip, macs: [mac, other] }) = self.neighbors.poll_duplicate() {
            let (at, other_at) = (self.place_of(vni, mac), self.place_of(vni, other));
            say!(
                DuplicateAddress, %ip, vni = vni.get(), %mac, at, %other, other_at,
                "two hosts have one IP address, and others reach only the first of them: give one another address"
            );
        }
        for _ in 0..ROUND {
            let Some((vni, ip, owner)) = self.neighbors.poll_announce() else { return };
            let at = self.table.entry(vni, owner.mac).map(|entry| entry.location);
            let except = if let Some(Location::Local(port)) = at { Some(port) } else { None };
            self.devices.announce(vni, except, &announcement(ip, owner.mac, owner.router));
        }
    }

    pub(super) fn neigh_show(&self, network: Option<&str>, now: Instant) -> Result<Reply, ErrorReply> {
        let only = network.map(|n| self.network(n)).transpose()?.map(|n| n.vni);
        let mut bindings = self.neighbors.bindings();
        bindings.retain(|binding| only.is_none_or(|vni| binding.vni == vni));
        bindings.sort_unstable_by_key(|binding| (binding.vni, binding.ip));
        let owners = self.owners();
        let entries = bindings.iter().map(|binding| self.neigh_entry(binding, &owners, now)).collect();
        Ok(Reply::Neigh(Neigh { entries }))
    }

    fn neigh_entry(
        &self,
        &BindingView { vni, ip, owner, port }: &BindingView,
        owners: &Owners,
        now: Instant,
    ) -> NeighEntry {
        let network = self.config.networks.iter().find(|network| network.vni == vni);
        let entry = self.table.entry(vni, owner.mac);
        let dst = match entry.map(|entry| entry.location) {
            Some(Location::Remote(vtep)) if port.is_none() => Some(vtep.ip()),
            _ => None,
        };
        let seen = port.map(|(_, seen)| seen).or(entry.and_then(|entry| entry.last_seen));
        let name = |id| self.port_by_id(id).map_or_else(|| id.to_string(), |(name, _)| name.to_owned());
        NeighEntry {
            ip,
            mac: owner.mac,
            vni,
            network: network.map_or_else(String::new, |network| network.name.clone()),
            port: port.map(|(id, _)| name(id)),
            dst,
            owner: match (port, entry.and_then(|entry| entry.origin)) {
                (Some(_), _) => Some(self.config.node.name.clone()),
                (None, Some(origin)) => owners.get(&origin).map(|(_, name)| name.clone()),
                (None, None) => None,
            },
            router: owner.router,
            age_s: seen.map(|seen| seconds(now, seen)),
        }
    }

    fn is_local(&self, vni: Vni, mac: MacAddr) -> bool {
        self.table.entry(vni, mac).is_some_and(|entry| matches!(entry.location, Location::Local(_)))
    }

    fn place_of(&self, vni: Vni, mac: MacAddr) -> String {
        let entry = self.table.entry(vni, mac);
        entry.map_or_else(|| "unknown".to_owned(), |entry| self.describe(entry.location))
    }
}
