//! The state directory of a node: what it keeps of its epoch over a crash.

use fdb::gossip::identity::Epoch;

/// What is wrong with all disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    Sound,
    /// An epoch that was raised is not written.
    NotPersisted,
    /// What was written last is lost by a crash.
    NoFsync,
}

#[derive(Clone)]
pub(crate) struct Disk {
    fault: DiskFault,
    epoch: u64,
    /// What a crash leaves.
    synced: u64,
}

impl Disk {
    pub(crate) const fn new(fault: DiskFault) -> Self {
        Self { fault, epoch: 0, synced: 0 }
    }

    /// The epoch of the next start, kept before it is used.
    pub(crate) fn next_epoch(&mut self) -> Epoch {
        let epoch = self.epoch + 1;
        self.write(epoch);
        Epoch::new(epoch)
    }

    /// Others knew of a later start.
    pub(crate) fn keep(&mut self, epoch: Epoch) {
        if self.fault != DiskFault::NotPersisted {
            self.write(epoch.get());
        }
    }

    fn write(&mut self, epoch: u64) {
        self.synced = if self.fault == DiskFault::NoFsync { self.epoch } else { epoch };
        self.epoch = epoch;
    }

    pub(crate) const fn crash(&mut self) {
        self.epoch = self.synced;
    }
}
