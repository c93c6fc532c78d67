//! Keeping the directory fresh, through onions: once an hour two relays are asked page by page; at first,
//! when the directory came from a few relays that may have known little themselves, more often.
//! DESIGN §3.1.
//!
//! ```text
//!  idle ──due──▶ round: relay 1, page 0, 1, … ─▶ relay 2, page 0, 1, … ──▶ idle, for about an hour
//!                         └── no reply ──▶ next relay;  none replied ──▶ idle, for half a minute and more
//! ```
//! In a network that does not change much a round asks only for what those relays have taken since the last one, and for
//! everything four times a day ([`Coverage`]). A round that somebody asked for, because a relay is missing, asks for everything.
//!
//! Descriptors of relays that are known are taken from anyone: they are signed. A relay that is not known
//! is taken once two others have listed it, so that one relay alone cannot fill a client's directory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;

use super::backoff::{Backoff, jitter};
use super::records::Coverage;
use super::requests::RequestId;
use crate::id::NodeId;
use crate::onion::epoch::EPOCH_LENGTH;
use crate::rpc::{DirectorySyncReply, DirectorySyncRequest, SYNC_STEP};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::Bytes;

/// Relays asked in one round.
pub(super) const ASKED: usize = 2;
/// A round follows another after 50 to 70 minutes.
const PERIOD: Duration = Duration::from_mins(50);
const PERIOD_JITTER: Duration = Duration::from_mins(20);
/// A round begins at least so long before the onion keys run out.
const KEYS_MARGIN: Duration = Duration::from_mins(30);
/// After the first directory, and when relays appear that were not known, the pauses begin with this one
/// and double up to the hour.
const FIRST_PERIOD: Duration = Duration::from_secs(90);
/// The first round of a run starts within so long: a crowd that reloads does not ask at once.
const FIRST_JITTER: Duration = Duration::from_secs(20);
/// Ceilings of the wait after a round that nobody answered.
const RETRY_BASE: Duration = Duration::from_secs(30);
const RETRY_CAP: Duration = Duration::from_mins(10);
/// A round that somebody asked for follows the last one after this; the pause doubles while such rounds
/// bring no relay that was not known.
const WANTED_BASE: Duration = Duration::from_secs(10);
const WANTED_JITTER: Duration = Duration::from_secs(2);
/// Pages read from one relay: three descriptors, as many of the longest as one holds, cover the largest
/// directory.
const MAX_PAGES: u32 = 1366;
/// Relays listed by one other so far; beyond, no more are remembered until the next round.
const MAX_CANDIDATES: usize = 1024;

/// After this long everything is asked for again: what one relay had long taken when another one had not heard of it
/// is in no answer to what is new.
const FULL_EVERY: Duration = EPOCH_LENGTH;
/// A descriptor takes so long at most, in a network that works, until most relays have it; and clocks differ.
const SPREADING: Duration = Duration::from_mins(30);

/// How far the refreshing is.
#[derive(Debug)]
pub(super) struct DirectorySync {
    next: Timestamp,
    coverage: Coverage,
    /// The next round is to ask for everything.
    full: bool,
    /// Pause after the next round.
    period: Duration,
    /// When the last round ended.
    ended: Timestamp,
    /// A round of this run has told of nobody new.
    settled: bool,
    /// Shortest pause before a round that somebody asks for.
    wanted: Duration,
    backoff: Backoff,
    round: Option<Round>,
    /// Relays that are not known, and the one that listed them.
    candidates: BTreeMap<NodeId, NodeId>,
}

#[derive(Debug)]
struct Round {
    /// Still to be asked.
    relays: VecDeque<NodeId>,
    /// Being asked.
    page: Option<Page>,
    answered: bool,
    /// A relay that was not known has been listed.
    growing: bool,
    /// Digest of the directory when the round began.
    known: [u8; 32],
    /// Only what is newer is asked for.
    since: Option<Timestamp>,
    /// The earliest and the latest that the relays asked say that it is.
    times: Option<(Timestamp, Timestamp)>,
    /// Some relay was not heard to the end.
    cut_short: bool,
    /// Relays that were not known and that one of those asked has listed.
    heard_once: BTreeSet<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    relay: NodeId,
    request: Option<RequestId>,
    offset: u32,
    pages: u32,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this relay; then call [`DirectorySync::asked`].
    Ask(NodeId, DirectorySyncRequest),
    /// The round is over, and somebody answered.
    Done,
    /// Nothing.
    Wait,
}

impl DirectorySync {
    /// A directory that was last fresh at `synced` and whose onion keys run out at `keys_until`.
    pub(super) fn new(
        synced: Timestamp,
        coverage: Coverage,
        keys_until: Timestamp,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let soon = now + jitter(FIRST_JITTER, rng);
        Self {
            next: soon.max((synced + PERIOD).min(keys_until - KEYS_MARGIN)),
            coverage,
            full: false,
            period: PERIOD,
            ended: Timestamp::EPOCH,
            settled: false,
            wanted: WANTED_BASE,
            backoff: Backoff::new(RETRY_BASE, RETRY_CAP),
            round: None,
            candidates: BTreeMap::new(),
        }
    }

    /// Whether a round should begin.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.round.is_none() && self.next <= now
    }

    /// When a round should begin.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.round.is_none().then_some(self.next)
    }

    /// Begins a round with these relays. With none it is as if nobody had answered.
    /// `keys_until`: when the onion keys that are known run out, for which everything is asked for.
    pub(super) fn begin(
        &mut self,
        relays: Vec<NodeId>,
        known: [u8; 32],
        keys_until: Timestamp,
        now: Timestamp,
    ) {
        let has_keys = keys_until > now + KEYS_MARGIN * 2;
        let steady = self.period == PERIOD && has_keys && !self.full;
        let since = self.coverage.recent(FULL_EVERY, now);
        self.round = Some(Round {
            since: since.filter(|_| steady),
            times: None,
            cut_short: relays.is_empty(),
            heard_once: BTreeSet::new(),
            relays: relays.into(),
            page: None,
            answered: false,
            growing: false,
            known,
        });
    }

    /// What the round needs. `keys_until`: when the onion keys that are known run out.
    pub(super) fn next(
        &mut self,
        keys_until: Timestamp,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Next {
        let Some(round) = &mut self.round else {
            return Next::Wait;
        };
        if round.page.is_none() {
            round.page = round.relays.pop_front().map(Page::first);
        }
        match round.page {
            Some(Page {
                request: Some(_), ..
            }) => Next::Wait,
            Some(page) => {
                let known = Bytes(round.known);
                let ask = DirectorySyncRequest {
                    known,
                    offset: page.offset,
                    since: round.since,
                };
                Next::Ask(page.relay, ask)
            }
            None => self.finish(keys_until, now, rng),
        }
    }

    fn finish(&mut self, keys_until: Timestamp, now: Timestamp, rng: &mut impl CryptoRng) -> Next {
        self.ended = now;
        let Some(round) = self.round.take().filter(|round| round.answered) else {
            self.next = self.backoff.fail(now, rng);
            return Next::Wait;
        };
        self.cover(&round, now);
        self.settled |= !round.growing;
        if round.growing {
            self.period = self.period.min(FIRST_PERIOD);
            self.wanted = WANTED_BASE;
        } else {
            self.wanted = self.wanted.saturating_mul(2).min(PERIOD);
        }
        self.fresh(keys_until, now, rng);
        Next::Done
    }

    /// What the directory covers after a round. Of what only one relay has listed another one is to be asked yet.
    fn cover(&mut self, round: &Round, now: Timestamp) {
        let whole = !round.cut_short && round.heard_once.is_empty();
        // One that says another time than the others could choose a number by which to know this client again.
        let agree = |(early, late): &(Timestamp, Timestamp)| late.since(*early) <= SPREADING;
        if let Some((time, _)) = round.times.filter(|times| whole && agree(times)) {
            let until = time.saturating_sub(SPREADING).floor_to(SYNC_STEP);
            self.coverage = self.coverage.after(round.since, until, now);
            self.full &= round.since.is_some();
        }
    }

    /// What the directory covers.
    pub(super) const fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// Whether a round of this run was answered and told of nobody new.
    pub(super) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// The first directory has come: others will know more soon.
    pub(super) fn first(
        &mut self,
        keys_until: Timestamp,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.coverage = Coverage::default();
        self.period = FIRST_PERIOD;
        self.fresh(keys_until, now, rng);
    }

    /// A relay is missed that others may know: the next round comes sooner, if it is not on its way and the
    /// last one was answered.
    pub(super) fn hurry(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let at = now.max(self.ended + self.wanted) + jitter(WANTED_JITTER, rng);
        let asks_for_all = |round: &Round| round.since.is_none();
        self.full |= !self.round.as_ref().is_some_and(asks_for_all);
        if self.round.is_none() && self.backoff.failures() == 0 && at < self.next {
            self.next = at;
        }
    }

    /// The directory is fresh: the next round comes in an hour, or half an hour before the keys run out.
    pub(super) fn fresh(
        &mut self,
        keys_until: Timestamp,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.backoff.reset();
        let spread =
            Duration::from_ms(self.period.as_ms() * PERIOD_JITTER.as_ms() / PERIOD.as_ms());
        let later = now + self.period + jitter(spread, rng);
        let before = keys_until - KEYS_MARGIN - jitter(PERIOD_JITTER, rng);
        self.next = later.min(before.max(now + Duration::from_mins(5)));
        self.period = self.period.saturating_mul(2).min(PERIOD);
    }

    /// The request of [`Next::Ask`] has this name.
    pub(super) fn asked(&mut self, request: RequestId) {
        if let Some(page) = self.page_mut() {
            page.request = Some(request);
        }
    }

    /// Whether this is the request under way.
    pub(super) fn owns(&self, request: RequestId) -> bool {
        let page = self.round.as_ref().and_then(|round| round.page);
        page.is_some_and(|page| page.request == Some(request))
    }

    fn page_mut(&mut self) -> Option<&mut Page> {
        self.round.as_mut()?.page.as_mut()
    }

    /// The request under way was refused or got no reply: the next relay is asked.
    pub(super) fn failed(&mut self) {
        if let Some(round) = &mut self.round {
            round.page = None;
            round.cut_short = true;
        }
    }

    /// A descriptor in it does not verify, or not yet: what it says is not covered.
    pub(super) fn has_gap(&mut self) {
        if let Some(round) = &mut self.round {
            round.cut_short = true;
        }
    }

    /// A page has come. Yields the relay that it came from.
    pub(super) fn page(&mut self, reply: &DirectorySyncReply) -> Option<NodeId> {
        let round = self.round.as_mut()?;
        let page = round.page.as_mut()?;
        let relay = page.relay;
        round.answered = true;
        let got = u32::try_from(reply.descriptors.len()).unwrap_or(u32::MAX);
        page.offset = page.offset.saturating_add(got);
        page.pages += 1;
        page.request = None;
        let first = page.pages == 1;
        let same = reply.digest.0 == round.known;
        // Who does not say the time does not know of asking for what is new.
        match reply.time {
            None => round.cut_short = true,
            Some(says) if first => {
                let (early, late) = round.times.unwrap_or((says, says));
                round.times = Some((early.min(says), late.max(says)));
            }
            Some(_) => {}
        }
        let whole = same || page.offset >= reply.total;
        if whole || got == 0 || page.pages >= MAX_PAGES {
            round.cut_short |= !whole;
            round.page = None;
        }
        Some(relay)
    }

    /// `lister` lists a relay that is not known. True once two have; `enough` says that one suffices.
    pub(super) fn vouch(&mut self, node: NodeId, lister: NodeId, enough: bool) -> bool {
        if let Some(round) = &mut self.round {
            round.growing = true;
        }
        let vouched = enough || self.is_second(node, lister);
        if let Some(round) = &mut self.round {
            match vouched {
                true => round.heard_once.remove(&node),
                false => round.heard_once.insert(node),
            };
        }
        vouched
    }

    /// Whether another relay has listed this one before.
    fn is_second(&mut self, node: NodeId, lister: NodeId) -> bool {
        match self.candidates.get(&node) {
            Some(first) if *first != lister => self.candidates.remove(&node).is_some(),
            Some(_) => false,
            None => {
                if self.candidates.len() >= MAX_CANDIDATES {
                    self.candidates.clear();
                }
                self.candidates.insert(node, lister);
                false
            }
        }
    }
}

impl Page {
    const fn first(relay: NodeId) -> Self {
        Self {
            relay,
            request: None,
            offset: 0,
            pages: 0,
        }
    }
}
