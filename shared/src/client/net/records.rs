//! What the net stores: the directory as signed bytes, and who the guards and vanguards are. Two rows of
//! [`Table::Meta`], each a CBOR map with its version under key 0.

use minicbor::{Decode, Encode};

use crate::client::store::{Key, Row, Table, Write};
use crate::id::NodeId;
use crate::onion::directory::MAX_RELAYS;
use crate::onion::{GuardSet, VanguardSet};
use crate::rpc::MAX_SWARM;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedBytes, BoundedList, from_cbor, to_cbor};
use crate::wire::link::DescriptorBytes;

/// The version written here; others are not read.
const VERSION: u8 = 1;
/// Longest row that is read: the largest directory.
const MAX_ROW_LEN: usize = MAX_RELAYS * 8192;

const DIRECTORY: &[u8] = b"net directory";
const GUARDS: &[u8] = b"net guards";

/// A row of the net.
pub(super) trait NetRow: Encode<()> + for<'b> Decode<'b, ()> {
    /// Its name in [`Table::Meta`].
    const ID: &'static [u8];
    /// The version that it was written with.
    fn version(&self) -> u8;

    /// As a change of the store.
    fn write(&self) -> Write {
        Write::Put(Row::plain(Key::new(Table::Meta, Self::ID), to_cbor(self)))
    }

    /// The row among `rows`, if it is there and can be read.
    fn find(rows: &[Row]) -> Option<Self> {
        let key = Key::new(Table::Meta, Self::ID);
        let row = rows.iter().find(|row| row.key == key)?;
        let record: Self = from_cbor(&row.value, MAX_ROW_LEN).ok()?;
        (record.version() == VERSION).then_some(record)
    }
}

/// The relays known. Descriptors are verified again when they are read.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct DirectoryRow {
    #[n(0)]
    version: u8,
    /// When relays last confirmed it.
    #[n(1)]
    pub(super) synced: Timestamp,
    /// How many relays there were then.
    #[n(2)]
    pub(super) seen: u32,
    #[n(3)]
    pub(super) descriptors: BoundedList<DescriptorBytes, MAX_RELAYS>,
    #[n(4)]
    pub(super) coverage: Option<Coverage>,
}

/// What a directory covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Coverage {
    /// All that relays had taken by then, by their clocks.
    #[n(0)]
    until: Timestamp,
    /// When relays were last asked for everything, by this client's clock.
    #[n(1)]
    full: Timestamp,
}

impl Coverage {
    /// Since when it lacks something, if everything was asked for within `every`.
    pub(super) fn recent(self, every: Duration, now: Timestamp) -> Option<Timestamp> {
        let is_recent = self.full <= now && now.since(self.full) < every;
        is_recent.then_some(self.until)
    }

    /// After a round that asked for what came `since`, which covers what came before `until`.
    pub(super) const fn after(
        self,
        since: Option<Timestamp>,
        until: Timestamp,
        now: Timestamp,
    ) -> Self {
        let full = match since {
            None => now,
            Some(_) => self.full,
        };
        Self { until, full }
    }
}

impl DirectoryRow {
    pub(super) fn new(
        synced: Timestamp,
        seen: u32,
        descriptors: Vec<DescriptorBytes>,
        coverage: Coverage,
    ) -> Self {
        Self {
            coverage: Some(coverage).filter(|coverage| *coverage != Coverage::default()),
            version: VERSION,
            synced,
            seen,
            descriptors: BoundedList::new(descriptors).unwrap_or_default(),
        }
    }
}

impl NetRow for DirectoryRow {
    const ID: &'static [u8] = DIRECTORY;
    fn version(&self) -> u8 {
        self.version
    }
}

/// Guards and vanguards, each as a record of its own version.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct GuardRow {
    #[n(0)]
    version: u8,
    #[n(1)]
    guards: BoundedBytes<4096>,
    #[n(2)]
    vanguards: BoundedBytes<4096>,
    /// Relays of my own mailbox, so that none of them becomes a guard.
    #[n(3)]
    own_swarm: Option<BoundedList<NodeId, MAX_SWARM>>,
}

impl GuardRow {
    pub(super) fn new(guards: &GuardSet, vanguards: &VanguardSet, own_swarm: &[NodeId]) -> Self {
        Self {
            version: VERSION,
            guards: BoundedBytes::new(guards.encode()).unwrap_or_default(),
            vanguards: BoundedBytes::new(vanguards.encode()).unwrap_or_default(),
            own_swarm: BoundedList::new(own_swarm.to_vec()).ok(),
        }
    }

    /// The relays of my own mailbox.
    pub(super) fn into_own_swarm(self) -> Vec<NodeId> {
        self.own_swarm
            .map(BoundedList::into_inner)
            .unwrap_or_default()
    }

    /// The sets, if both can be read.
    pub(super) fn sets(&self) -> Option<(GuardSet, VanguardSet)> {
        let guards = GuardSet::decode(&self.guards).ok()?;
        Some((guards, VanguardSet::decode(&self.vanguards).ok()?))
    }
}

impl NetRow for GuardRow {
    const ID: &'static [u8] = GUARDS;
    fn version(&self) -> u8 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::unhex;

    const NODE: NodeId = NodeId::from_bytes([1; 20]);
    /// Rows as version 1 wrote them. They stay readable for ever.
    const DIRECTORY_V1: &str = "a40001011b0000018bcfe568000207038143010203";

    const GUARDS_V1: &str = "a400010145a2000101800245a20001018003815401010101010101010101010101010101\
                             01010101";

    fn row(id: &[u8], hex: &str) -> Row {
        Row::plain(Key::new(Table::Meta, id), unhex(hex))
    }

    #[test]
    fn rows_of_version_1_are_read() {
        let row = DirectoryRow::find(&[row(DIRECTORY, DIRECTORY_V1)]).unwrap();
        assert_eq!(
            (row.synced, row.seen),
            (Timestamp::from_ms(1_700_000_000_000), 7)
        );
        assert_eq!(row.descriptors.len(), 1);
    }

    #[test]
    fn guards_of_version_1_are_read() {
        let guards = GuardRow::new(&GuardSet::new(), &VanguardSet::new(), &[NODE]);
        let Write::Put(written) = guards.write() else {
            panic!("a row is put");
        };
        assert_eq!(crate::test_support::hex(&written.value), GUARDS_V1);
        let found = GuardRow::find(&[row(GUARDS, GUARDS_V1)]).unwrap();
        assert_eq!(found.sets(), Some((GuardSet::new(), VanguardSet::new())));
        assert_eq!(found.into_own_swarm(), [NODE]);
        let without = "a300010145a2000101800245a200010180";
        let found = GuardRow::find(&[row(GUARDS, without)]).unwrap();
        assert!(found.into_own_swarm().is_empty());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let now = Timestamp::from_ms(1_700_000_000_000);
        let descriptors = vec![DescriptorBytes::new([1, 2, 3]).unwrap()];
        let Write::Put(row) = DirectoryRow::new(now, 7, descriptors, Coverage::default()).write()
        else {
            panic!("a row is put");
        };
        assert_eq!(crate::test_support::hex(&row.value), DIRECTORY_V1);
        let Write::Put(guards) = GuardRow::new(&GuardSet::new(), &VanguardSet::new(), &[]).write()
        else {
            panic!("a row is put");
        };
        let found = GuardRow::find(&[row, guards]).unwrap();
        assert_eq!(found.sets(), Some((GuardSet::new(), VanguardSet::new())));
    }

    #[test]
    fn what_a_directory_covers_is_stored_with_it() {
        let at = Timestamp::from_ms(1_700_000_000_000);
        let coverage = Coverage::default().after(None, at, at + Duration::from_mins(40));
        let Write::Put(row) = DirectoryRow::new(at, 0, Vec::new(), coverage).write() else {
            panic!("a row is put");
        };
        let written =
            "a50001011b0000018bcfe568000200038004a2001b0000018bcfe56800011b0000018bd00a0700";
        assert_eq!(crate::test_support::hex(&row.value), written);
        let found = DirectoryRow::find(&[row]).unwrap();
        assert_eq!(found.coverage, Some(coverage));
        let every = Duration::from_hours(6);
        assert_eq!(coverage.recent(every, at + every), Some(at));
        let later = at + Duration::from_mins(40) + every;
        assert_eq!(coverage.recent(every, later), None);
        assert_eq!(
            coverage.recent(every, at),
            None,
            "a clock that was set back"
        );
    }

    #[test]
    fn rows_that_cannot_be_read_count_as_absent() {
        let newer = DIRECTORY_V1.replacen("a40001", "a40002", 1);
        assert!(DirectoryRow::find(&[row(DIRECTORY, &newer)]).is_none());
        assert!(DirectoryRow::find(&[row(DIRECTORY, "ff")]).is_none());
        assert!(DirectoryRow::find(&[row(GUARDS, DIRECTORY_V1)]).is_none());
        assert!(GuardRow::find(&[row(GUARDS, "a200010140")]).is_none());
    }
}
