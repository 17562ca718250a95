//! TAP devices: the wire between a pod and us.
//!
//! One queue a device: with two, the kernel spreads one flow over both and reorders it. The device may live in a
//! pod's network namespace; the file descriptor stays with us. Each frame has a virtio-net header before it, so that
//! super-frames cross whole in both directions.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use encap::coalesce::Write;
use encap::vnet::{self, VnetError, VnetHeader};
use encap::{MacAddr, Mtu, Span};
use ipnet::IpNet;

use super::link::{Link, LinkSetup, Links};
use super::netns::{self, Netns};
use crate::batch::super_frame_size;
use crate::sys::tun;

/// Octets that hold any frame of a TAP: the header, 64 KiB of IP, an Ethernet header with two tags.
pub const MAX_READ: usize = vnet::LEN + 65_536 + 22;

/// Where a read starts: places that share no cache line.
const ALIGN: usize = 64;

/// Frames that wait in the device while the daemon is busy; a pod's burst is lost beyond that.
const QUEUE: u32 = 8000;
const DEVICE: &str = "/dev/net/tun";

/// Which offloads to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// TCP super-frames; without them the pod's kernel finishes checksums, too.
    pub tso: bool,
    /// UDP super-frames.
    pub uso: bool,
}

/// Which offloads the kernel granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Checksums are left to us.
    pub csum: bool,
    /// TCP super-frames.
    pub tso: bool,
    /// UDP super-frames.
    pub uso: bool,
}

impl Granted {
    /// The names of what was granted.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [(self.csum, "csum"), (self.tso, "tso"), (self.uso, "uso")];
        all.into_iter().filter(|(granted, _)| *granted).map(|(_, name)| name).collect()
    }
}

/// How a device is to be set up.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Its name.
    pub ifname: &'a str,
    /// Its MAC address; `None` = the kernel's choice.
    pub mac: Option<MacAddr>,
    /// Its MTU.
    pub mtu: Mtu,
    /// Its addresses.
    pub addresses: &'a [IpNet],
    /// The default gateway through it.
    pub gateway: Option<std::net::IpAddr>,
    /// The offloads.
    pub wanted: Wanted,
}

/// An attached TAP. Any thread may write to it; one reads.
#[derive(Debug)]
pub struct Tap {
    file: File,
    granted: Granted,
    index: u32,
    taken_over: bool,
}

impl Tap {
    /// Makes a TAP in a namespace (`None` = the calling thread's), or takes over one that persists there.
    ///
    /// # Errors
    ///
    /// A sentence that names the step, what the kernel said, and what to do.
    pub fn open(namespace: Option<&Netns>, setup: &Setup<'_>) -> io::Result<(Self, Link)> {
        match namespace {
            Some(namespace) => netns::run_in(namespace, || Self::open_here(setup)),
            None => Self::open_here(setup),
        }
    }

    fn open_here(setup: &Setup<'_>) -> io::Result<(Self, Link)> {
        let ifname = setup.ifname;
        let links = Links::open()?;
        let there = links.by_name(ifname)?;
        if let Some(taken) = there.as_ref().filter(|link| link.kind.as_deref() != Some("tun")) {
            let kind = taken.kind.as_deref().unwrap_or("other");
            let why = format!("{ifname} exists already and is no TAP ({kind}); choose another ifname");
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let file = open_device()?;
        // A device that is there stays persistent: who is killed here leaves it, with its addresses, to the next start.
        tun::attach(file.as_fd(), ifname).map_err(|error| explain_attach(&error, ifname))?;
        let granted = grant(&file, setup.wanted)?;
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("TAP {ifname} vanished at once"));
        let index = links.by_name(ifname)?.ok_or_else(missing)?.index;
        let change = LinkSetup {
            mtu: Some(setup.mtu),
            // Setting the address that it has would make its namespace forget all neighbours.
            mac: setup.mac.filter(|&mac| there.as_ref().is_none_or(|link| link.mac != Some(mac))),
            txqueuelen: Some(QUEUE),
            gso_max_size: granted.tso.then(|| u32::try_from(super_frame_size(setup.mtu)).unwrap_or(u32::MAX)),
            addresses: setup.addresses.to_vec(),
            gateway: setup.gateway,
            up: true,
        };
        links.configure(index, &change)?;
        let link = links.by_index(index)?.ok_or_else(missing)?;
        Ok((Self { file, granted, index, taken_over: there.is_some() }, link))
    }

    /// Whether the device was there before: what an earlier run left, or what somebody made for this one.
    #[must_use]
    pub fn taken_over(&self) -> bool {
        self.taken_over
    }

    /// The offloads that the kernel granted.
    #[must_use]
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// The number of the device in its namespace.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Lets the device outlive this process, or not.
    ///
    /// # Errors
    ///
    /// What the kernel says of a device that is gone.
    pub fn set_persist(&self, persist: bool) -> io::Result<()> {
        tun::set_persist(self.file.as_fd(), persist)
    }

    /// Reads one frame with its header into `buffer` ([`MAX_READ`] octets); `None` when there is none.
    ///
    /// # Errors
    ///
    /// `EBADFD` when the device was deleted, `EIO` when it is not set up.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.file, buffer) {
            Ok(len) => Ok(Some(len)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes one frame or super-frame.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the device takes no more, else as [`Tap::read`].
    #[inline]
    pub fn write(&self, header: &VnetHeader, frame: &[u8]) -> io::Result<()> {
        let header = header.encode();
        rustix::io::writev(&self.file, &[IoSlice::new(&header), IoSlice::new(frame)])?;
        Ok(())
    }

    /// Writes what the coalescer made of frames in `buffer`.
    ///
    /// # Errors
    ///
    /// As [`Tap::write`].
    #[inline]
    pub fn write_run(&self, run: &Write, buffer: &[u8]) -> io::Result<()> {
        let header = run.vnet().encode();
        let mut slices = [IoSlice::new(&[]); encap::coalesce::MAX_PIECES + 2];
        slices[0] = IoSlice::new(&header);
        slices[1] = IoSlice::new(run.head());
        for (slice, piece) in slices[2..].iter_mut().zip(run.pieces()) {
            *slice = IoSlice::new(piece.of(buffer));
        }
        rustix::io::writev(&self.file, &slices[..run.pieces().len() + 2])?;
        Ok(())
    }
}

/// Memory for many reads, which stays as it is until all that was read has left.
#[derive(Debug)]
pub struct ReadBuffer {
    octets: Box<[u8]>,
    used: usize,
}

impl ReadBuffer {
    /// A buffer that has room for one more read of any size until it holds `octets`.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        Self { octets: vec![0; octets + MAX_READ + ALIGN].into_boxed_slice(), used: 0 }
    }

    /// Reads one frame behind those that are there: its header, or why that is none, and where the frame lies. `None`
    /// when the TAP has none.
    ///
    /// # Errors
    ///
    /// As [`Tap::read`].
    ///
    /// # Panics
    ///
    /// Without [room](Self::has_room).
    #[inline]
    #[allow(clippy::type_complexity)] // said in words above
    pub fn read(&mut self, tap: &Tap) -> io::Result<Option<(Result<VnetHeader, VnetError>, Span)>> {
        let start = self.used;
        let Some(len) = tap.read(&mut self.octets[start..][..MAX_READ])? else { return Ok(None) };
        let header = vnet::LEN.min(len);
        self.used = (start + len).next_multiple_of(ALIGN);
        let vnet = VnetHeader::decode(&self.octets[start..start + header]);
        Ok(Some((vnet, Span::new(start + header, len - header))))
    }

    /// Whether one more frame of any size can be read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used + MAX_READ <= self.octets.len()
    }

    /// All octets, in which frames lie where [`ReadBuffer::read`] said.
    pub fn octets(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.used = 0;
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open_device() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    options.open(DEVICE).map_err(|error| {
        let next = match error.kind() {
            io::ErrorKind::NotFound => {
                "load the module (modprobe tun), or pass the device into the container (--device /dev/net/tun)"
            }
            io::ErrorKind::PermissionDenied => {
                "run as root, or give this user read and write access to the device"
            }
            _ => "check the device with: ls -l /dev/net/tun",
        };
        io::Error::new(error.kind(), format!("cannot open {DEVICE}: {error}; {next}"))
    })
}

fn explain_attach(error: &io::Error, ifname: &str) -> io::Error {
    let next = match error.raw_os_error() {
        Some(libc::EPERM) => "it needs CAP_NET_ADMIN: run as root",
        Some(libc::EBUSY) => "another process has it open: is a second weft running? Choose another ifname",
        Some(libc::EINVAL) => "a device of this name exists with other settings (multi_queue?): delete it",
        _ => "see dmesg",
    };
    io::Error::new(error.kind(), format!("cannot make TAP {ifname}: {error}; {next}"))
}

/// Asks for the offloads in steps, because an older kernel refuses the whole set for one that it does not know.
fn grant(file: &File, wanted: Wanted) -> io::Result<Granted> {
    let tcp = tun::TUN_F_CSUM | tun::TUN_F_TSO4 | tun::TUN_F_TSO6 | tun::TUN_F_TSO_ECN;
    let udp = tun::TUN_F_USO4 | tun::TUN_F_USO6;
    let steps = [
        (wanted.tso && wanted.uso, tcp | udp, Granted { csum: true, tso: true, uso: true }),
        (wanted.tso, tcp, Granted { csum: true, tso: true, uso: false }),
        (true, 0, Granted::default()),
    ];
    let mut refused = io::Error::from(io::ErrorKind::Unsupported);
    for (asked, offload, granted) in steps {
        if !asked {
            continue;
        }
        match tun::set_offload(file.as_fd(), offload) {
            Ok(()) => return Ok(granted),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
