//! What clients want of gossip: its keys, to leave, to forget a node.

use std::time::Instant;

use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::KeyId;

use super::no_such;
use crate::control::Control;
use crate::control::config::PeerAddress;
use crate::control::devices::Devices;
use crate::control::members::{Gossip, Member};
use crate::control::protocol::{ErrorReply, KeyEntry, Keys, Reply, SecretKey};
use crate::gossip;
use crate::log::say;

impl<D: Devices> Control<D> {
    pub(super) fn key_list(&self) -> Result<Reply, ErrorReply> {
        let gossip = self.gossip_on()?;
        let keys = match command(gossip, gossip::Command::Keys)? {
            gossip::Reply::Keys(keys) => keys,
            gossip::Reply::Done | gossip::Reply::KeysChanged(_) => Vec::new(),
        };
        let entry = |key: &gossip::KeyView| {
            let seals = |node: &NodeId| key.members.contains(node);
            let alive = gossip.members.iter().filter(|(_, member)| member.is_alive());
            let others = alive.filter(|(node, _)| !seals(node)).map(|(node, member)| member.name(*node));
            KeyEntry {
                id: key.id.to_string(),
                in_use: key.in_use,
                members: sorted(key.members.iter().map(|node| gossip.name_of(*node))),
                others: sorted(others),
            }
        };
        Ok(Reply::Keys(Keys { entries: keys.iter().map(entry).collect() }))
    }

    pub(super) fn key_install(&mut self, key: SecretKey) -> Result<Reply, ErrorReply> {
        let key = key.into_key();
        let id = key.id();
        self.change_keys(gossip::Command::InstallKey(key))?;
        Ok(Reply::done(
            format!("key {id} installed: it opens, and does not seal before `weft key use {id}`"),
            1,
        ))
    }

    pub(super) fn key_use(&mut self, id: &str) -> Result<Reply, ErrorReply> {
        self.change_keys(gossip::Command::UseKey(key_id(id)?))?;
        Ok(Reply::done(format!("key {id} seals what this node sends from now on"), 1))
    }

    pub(super) fn key_remove(&mut self, id: &str) -> Result<Reply, ErrorReply> {
        self.change_keys(gossip::Command::RemoveKey(key_id(id)?))?;
        Ok(Reply::done(format!("key {id} removed"), 1))
    }

    /// Gossip's keys are those of probes, too.
    fn change_keys(&mut self, change: gossip::Command) -> Result<(), ErrorReply> {
        if let gossip::Reply::KeysChanged(mode) = command(self.gossip_on()?, change)? {
            self.devices.set_path_keys(mode);
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, now: Instant) -> Result<Reply, ErrorReply> {
        let gossip = self.gossip_on()?;
        command(gossip, gossip::Command::Leave)?;
        let told = gossip.members.values().filter(|member| member.is_alive()).count();
        self.leave_members(now);
        say!(GossipLeft, "this node left: it hears of no other node before it is restarted");
        let nodes = if told == 1 { "1 other node".to_owned() } else { format!("{told} other nodes") };
        Ok(Reply::done(
            format!("left {nodes}: local ports and static peers go on; restart weft to join again"),
            told,
        ))
    }

    pub(super) fn forget(&mut self, text: &str, now: Instant) -> Result<Reply, ErrorReply> {
        let gossip = self.gossip_on()?;
        let (own, own_id) = (&self.config.node.name, gossip.node.to_string());
        let others = || gossip.members.iter().any(|(node, member)| member.name(*node) == text);
        if text == own_id || (text == own && !others()) {
            return Err(ErrorReply::usage(format!(
                "{text} is this node itself: `weft leave` says goodbye to the others; name another node to forget"
            )));
        }
        let (node, name) = find_member(gossip, text).map(|(node, member)| (node, member.name(node)))?;
        command(gossip, gossip::Command::Forget(node))?;
        self.forget_member(node, now);
        Ok(Reply::done(format!("node {name} ({node}) forgotten, with all that it said"), 1))
    }

    /// The name of the member at an address.
    pub(super) fn member_at(&self, address: PeerAddress) -> Option<String> {
        let PeerAddress::Host(ip) = address else { return None };
        let members = &self.gossip.as_ref()?.members;
        let at = |member: &Member| member.vtep.is_some_and(|vtep| vtep.ip() == ip);
        members.iter().find(|(_, member)| at(member)).map(|(node, member)| member.name(*node))
    }

    fn gossip_on(&self) -> Result<&Gossip, ErrorReply> {
        match &self.gossip {
            None => Err(ErrorReply::failed(
                "gossip is off on this node: add [gossip] to the configuration and restart weft",
            )),
            Some(gossip) if gossip.left => {
                Err(ErrorReply::failed("this node left gossip already: restart weft to join again"))
            }
            Some(gossip) => Ok(gossip),
        }
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

/// Gives a command; a refusal names nodes as people call them.
fn command(gossip: &Gossip, command: gossip::Command) -> Result<gossip::Reply, ErrorReply> {
    gossip.link.command(command).map_err(|error| {
        let named = |text: String, (node, member): (&NodeId, &Member)| {
            text.replace(&node.to_string(), &member.name(*node))
        };
        ErrorReply::failed(gossip.members.iter().fold(error.to_string(), named))
    })
}

/// The member with this name or id, or with an id that begins so. Of several with one name, as after a node was set up anew,
/// the one that is not alive.
fn find_member<'a>(gossip: &'a Gossip, text: &str) -> Result<(NodeId, &'a Member), ErrorReply> {
    let members = || gossip.members.iter().map(|(node, member)| (*node, member));
    let named: Vec<_> = members().filter(|(node, m)| m.name(*node) == text).collect();
    let dead = || named.iter().filter(|(_, member)| !member.is_alive()).copied().collect();
    let found: Vec<_> = match named.len() {
        0 => members().filter(|(node, _)| !text.is_empty() && node.to_string().starts_with(text)).collect(),
        1 => named,
        _ => dead(),
    };
    let [one] = found[..] else {
        if found.is_empty() {
            let names = sorted(members().map(|(node, member)| member.name(node)));
            return Err(no_such("node", text, names.iter().map(String::as_str), "weft peer list"));
        }
        let ids: Vec<_> = found.iter().map(|(node, _)| node.to_string()).collect();
        return Err(ErrorReply::usage(format!(
            "{text} may be {}: name one by its id, or by more of it",
            ids.join(" or ")
        )));
    };
    if one.1.is_alive() {
        let name = one.1.name(one.0);
        return Err(ErrorReply::failed(format!(
            "gossip says that node {name} is alive, so it would be back at once: run `weft leave` there or stop it, wait some \
             seconds, then forget it"
        )));
    }
    Ok(one)
}

/// 8 hex digits.
fn key_id(text: &str) -> Result<KeyId, ErrorReply> {
    let digits = Some(text).filter(|text| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.map(|number| KeyId::new(number.to_be_bytes())).ok_or_else(|| {
        ErrorReply::usage(format!(
            "\"{text}\" is no key id: give 8 hex digits, as `weft key list` shows them"
        ))
    })
}
