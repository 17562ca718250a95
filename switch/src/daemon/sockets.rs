//! The sockets of the underlay: bound before anything starts, so that what is wrong with them is said first.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use encap::Format;

use crate::control::config::Config;
use crate::io::owner;
use crate::io::udp::{self, BindError, Receiver, SendSockets};

/// All sockets that carry datagrams.
pub(super) struct Sockets {
    /// For each worker.
    pub(super) receivers: Vec<Vec<(Format, Receiver)>>,
    pub(super) senders: Arc<SendSockets>,
    /// Whether the kernel joins datagrams that arrive.
    pub(super) gro: bool,
    /// Segments of one message at most.
    pub(super) segments: u16,
}

impl Sockets {
    /// Binds all of them on these addresses.
    pub(super) fn bind(config: &Config, addresses: &[IpAddr], workers: usize) -> Result<Self> {
        let gro = config.datapath.udp_gro && udp::probe_gro();
        let own = addresses.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let segments = udp::probe_segments(config.datapath.udp_segment, own);
        let receivers = bind_receivers(config, addresses, workers, gro)?;
        let senders = SendSockets::bind(addresses, config.underlay.source_ports).with_context(|| {
            format!("cannot open the send sockets on {addresses:?}: check [underlay] address, or lower source_ports")
        })?;
        Ok(Self { receivers, senders: Arc::new(senders), gro, segments })
    }

    /// The smallest receive buffer and the smallest send buffer, in octets.
    pub(super) fn buffer_sizes(&self) -> (usize, usize) {
        let receive = self.receivers.iter().flatten().map(|(_, receiver)| receiver.buffer_size()).min();
        (receive.unwrap_or(0), self.senders.buffer_size())
    }

    /// What the kernel cannot do at all, though it is wanted.
    pub(super) fn lacks(&self, config: &Config) -> impl Iterator<Item = &'static str> {
        let segments = config.datapath.udp_segment > 0 && self.segments == 0;
        let gro = config.datapath.udp_gro && !self.gro;
        let lacks = [("udp_segment", segments), ("udp_gro", gro)];
        lacks.into_iter().filter(|(_, lacks)| *lacks).map(|(name, _)| name)
    }
}

/// For each worker the receive sockets of both encapsulations on every underlay address. They stay as many as they are
/// until the daemon ends, because flows move when their number changes ([`Receiver::bind`]).
fn bind_receivers(
    config: &Config,
    addresses: &[IpAddr],
    workers: usize,
    gro: bool,
) -> Result<Vec<Vec<(Format, Receiver)>>> {
    let mut all: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let ports = [(Format::Vxlan, config.underlay.vxlan_port), (Format::Geneve, config.underlay.geneve_port)];
    for &address in addresses {
        for (format, port) in ports {
            let sockets = Receiver::bind(SocketAddr::new(address, port), workers, gro)
                .map_err(|error| explain_bind(error, format))?;
            for (worker, socket) in all.iter_mut().zip(sockets) {
                worker.push((format, socket));
            }
        }
    }
    Ok(all)
}

fn explain_bind(error: BindError, format: Format) -> anyhow::Error {
    match error {
        BindError::InUse { address } => {
            let other = format!("choose another [underlay] {format}_port (all peers must then send to it)");
            match owner::udp_port_owner(address.ip(), address.port()) {
                Some(owner) => {
                    anyhow!("UDP {address} is in use by {}: {}, or {other}", owner.name, owner.remedy)
                }
                None => anyhow!("UDP {address} was in use a moment ago: start again, or {other}"),
            }
        }
        BindError::Failed { address, error } if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            anyhow!(
                "this host does not have the underlay address {}: correct [underlay] address; ip address shows what \
             there is",
                address.ip()
            )
        }
        error @ BindError::Failed { .. } => error.into(),
    }
}
