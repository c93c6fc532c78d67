//! Which envelopes were taken in, and when that can be forgotten: a row for each, and a log of pages that
//! names them in the order of their coming, so that the old ones are found without reading the others.
//!
//! ```text
//!   envelope ──▶ row "seen" ──and──▶ open page ──64 ids──▶ page n ──37 days, or too many──▶ all its rows go
//! ```
//! A duplicate can come for 37 days: a sender retries for 7 and members hold an envelope for 30. Whoever
//! floods a mailbox with more than 131,072 envelopes in that time makes the oldest be forgotten sooner; what
//! then comes twice does not open a second time in the ratchet, nor is a message id shown twice.

use minicbor::{Decode, Encode};

use super::api::Step;
use super::engine::{Client, Ctx};
use super::records::{Record, RecordError, current_version, meta};
use super::store::{Key, Row, Table, Write};
use crate::id::EnvelopeId;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, from_cbor, to_cbor};

/// Receivers remember envelopes this long: retries of 7 days and 30 days in the mailbox.
pub(super) const REMEMBER: Duration = Duration::from_days(37);
/// Envelopes that a page names.
const PAGE: usize = 64;
/// Pages kept; beyond, the oldest go.
const MAX_PAGES: u64 = 2048;
/// How often the oldest page is looked at.
const SWEEP: Duration = Duration::from_hours(1);
const MAX_PAGE_LEN: usize = 4096;

/// The log: pages `first..next` are in the store, the open one is here.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct SeenRow {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    first: u64,
    #[n(2)]
    next: u64,
    #[n(3)]
    open: BoundedList<EnvelopeId, PAGE>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Page {
    /// When the newest of them can be forgotten.
    #[n(0)]
    until: Timestamp,
    #[n(1)]
    ids: BoundedList<EnvelopeId, PAGE>,
}

/// Live state of the log.
#[derive(Debug)]
pub(super) struct Seen {
    row: SeenRow,
    sweep: Timestamp,
}

impl Seen {
    /// From the stored log, or an empty one.
    pub(super) fn restore(value: Option<&[u8]>, now: Timestamp) -> Result<Self, RecordError> {
        let empty = SeenRow {
            version: current_version(),
            first: 0,
            next: 0,
            open: BoundedList::default(),
        };
        let row = value.map_or(Ok(empty), SeenRow::from_value)?;
        Ok(Self { row, sweep: now })
    }

    /// An envelope was taken in; the writes to remember it.
    pub(super) fn add(&mut self, id: EnvelopeId, now: Timestamp) -> Vec<Write> {
        let until = now.saturating_add(REMEMBER);
        let mut writes = vec![put(Key::new(Table::Seen, id), until, Vec::new())];
        let mut ids = core::mem::take(&mut self.row.open).into_inner();
        ids.push(id);
        let full = ids.len() >= PAGE;
        let ids = BoundedList::new(ids).unwrap_or_default();
        if full {
            let page = to_cbor(&Page { until, ids });
            writes.push(put(page_key(self.row.next), until, page));
            self.row.next = self.row.next.saturating_add(1);
        } else {
            self.row.open = ids;
        }
        writes.push(self.write());
        writes
    }

    /// Whether the oldest page is to be looked at.
    fn is_due(&mut self, now: Timestamp) -> bool {
        let due = self.sweep <= now && self.row.first < self.row.next;
        if due {
            self.sweep = now.saturating_add(SWEEP);
        }
        due
    }

    /// Looks at the oldest page: the writes that forget it, if its time has come.
    fn sweep(&mut self, page: Option<&[u8]>, now: Timestamp) -> Vec<Write> {
        let excess = self.row.next - self.row.first > MAX_PAGES;
        let page = page.and_then(|bytes| from_cbor::<Page>(bytes, MAX_PAGE_LEN).ok());
        if page.as_ref().is_some_and(|page| page.until > now) && !excess {
            return Vec::new();
        }
        let ids = page.map(|page| page.ids.into_inner()).unwrap_or_default();
        let ids = ids.into_iter().map(|id| Key::new(Table::Seen, id));
        let keys = ids.chain([page_key(self.row.first)]);
        let mut writes: Vec<_> = keys.map(Write::Delete).collect();
        self.row.first = self.row.first.saturating_add(1);
        writes.push(self.write());
        writes
    }

    fn write(&self) -> Write {
        Write::Put(Row::plain(meta::seen(), self.row.to_value()))
    }
}

impl Client {
    /// Once an hour the oldest page is looked at.
    pub(super) fn sweep_seen_if_due(&mut self, ctx: &mut Ctx<'_>) {
        if self.seen.is_due(ctx.now) {
            ctx.batch.step(Step::SweepSeen);
        }
    }

    pub(super) fn sweep_seen_reads(&self) -> Vec<Key> {
        vec![page_key(self.seen.row.first)]
    }

    /// Forgets the oldest page if its time has come, and then looks at the next.
    pub(super) fn sweep_seen(&mut self, ctx: &mut Ctx<'_>) {
        if self.seen.row.first >= self.seen.row.next {
            return;
        }
        let page = ctx.loaded.get(&page_key(self.seen.row.first));
        let writes = self.seen.sweep(page, ctx.now);
        if !writes.is_empty() {
            ctx.batch.writes.extend(writes);
            ctx.batch.step(Step::SweepSeen);
        }
    }
}

/// Longer than an envelope id, so never one.
fn page_key(number: u64) -> Key {
    let id = [b"page of the log ".as_slice(), &number.to_be_bytes()].concat();
    Key::new(Table::Seen, id)
}

fn put(key: Key, until: Timestamp, value: Vec<u8>) -> Write {
    Write::Put(Row {
        key,
        partition: Vec::new(),
        sort: until.as_ms(),
        value: value.into(),
    })
}
