//! Connection tags: the buffers behind which clients come and go. PROTOCOL §3.
//!
//! A tag is known from the first handshake that shows it until 12 hours after its last connection. Both
//! sides count `Deliver` frames from there: `received` of a client says how many of them have arrived,
//! and what it does not cover is sent again on resumption, as far as it is still kept. A tag that is not
//! known any more starts again at 0, and the handshake's answer says so.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use zentalk_shared::id::ConnectionTag;
use zentalk_shared::time::{Duration, Timestamp};

use super::io::ConnId;

/// A tag is forgotten this long after its last connection.
pub(super) const TAG_LIFE: Duration = Duration::from_hours(12);
/// Frames kept for one tag.
pub(super) const KEPT_FRAMES: usize = 64;
/// Frames are kept this long.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60);

/// All tags of this guard.
#[derive(Debug)]
pub(super) struct Tags {
    buffers: HashMap<ConnectionTag, Buffer>,
    /// Tags without a connection, in the order in which they give way when there are too many: those
    /// that nothing was ever delivered to, then the others, each by when they were left.
    away: BTreeSet<(bool, Timestamp, ConnectionTag)>,
    bytes: usize,
    max_tags: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Buffer {
    conn: Option<ConnId>,
    /// When the last connection was lost; of no meaning while there is one.
    left: Timestamp,
    /// Frames delivered or kept since the tag is known.
    count: u64,
    /// The last of them.
    kept: VecDeque<(Timestamp, Vec<u8>)>,
    /// Bytes of those.
    bytes: usize,
    /// Something was delivered to it.
    used: bool,
}

/// What a handshake with a tag leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attached {
    /// The tag was known.
    pub(super) resumed: bool,
    /// The connection that had the tag until now.
    pub(super) replaced: Option<ConnId>,
    /// What the client has not counted.
    pub(super) missed: Vec<Vec<u8>>,
}

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Send it here.
    Send(ConnId),
    /// The client is away; it is kept for a while.
    Kept,
    /// Nobody has shown this tag, or nothing more can be kept.
    Dropped,
}

impl Tags {
    pub(super) fn new(max_tags: usize, max_bytes: usize) -> Self {
        Self {
            buffers: HashMap::new(),
            away: BTreeSet::new(),
            bytes: 0,
            max_tags,
            max_bytes,
        }
    }

    /// A client has shown a tag. `None`: there is no room for another one, because all are connected.
    pub(super) fn attach(
        &mut self,
        tag: ConnectionTag,
        conn: ConnId,
        received: u64,
        now: Timestamp,
    ) -> Option<Attached> {
        let resumed = self.buffers.contains_key(&tag);
        if !resumed {
            if self.buffers.len() >= self.max_tags && !self.evict() {
                return None;
            }
            self.buffers.insert(tag, Buffer::new(now));
        }
        self.forget_counted(&tag, received);
        let buffer = self.buffers.get_mut(&tag)?;
        self.away.remove(&buffer.rank(tag));
        self.bytes -= buffer.forget_old(now);
        buffer.go_on_from(received);
        let missed = buffer.kept.iter().map(|(_, frame)| frame.clone()).collect();
        let replaced = buffer.conn.replace(conn);
        Some(Attached {
            resumed,
            replaced,
            missed,
        })
    }

    /// A connection is gone; the tag stays. Nothing happens if another connection has the tag by now.
    pub(super) fn detach(&mut self, tag: &ConnectionTag, conn: ConnId, now: Timestamp) {
        if let Some(buffer) = self
            .buffers
            .get_mut(tag)
            .filter(|buffer| buffer.conn == Some(conn))
        {
            buffer.conn = None;
            buffer.left = now;
            self.away.insert(buffer.rank(*tag));
        }
    }

    /// Makes room by forgetting a tag that nobody is connected with.
    fn evict(&mut self) -> bool {
        let Some((_, _, tag)) = self.away.pop_first() else {
            return false;
        };
        if let Some(mut buffer) = self.buffers.remove(&tag) {
            self.bytes -= buffer.forget(usize::MAX);
        }
        true
    }

    /// A frame for the tag: counted and kept, and to be sent if somebody is there.
    pub(super) fn deliver(
        &mut self,
        tag: &ConnectionTag,
        frame: &[u8],
        now: Timestamp,
    ) -> Delivery {
        if frame.len() > self.max_bytes || !self.buffers.contains_key(tag) {
            return Delivery::Dropped;
        }
        if self.bytes + frame.len() > self.max_bytes {
            self.make_room(frame.len());
        }
        let Some(buffer) = self.buffers.get_mut(tag) else {
            return Delivery::Dropped;
        };
        if buffer.conn.is_none() && !buffer.used {
            self.away.remove(&buffer.rank(*tag));
            buffer.used = true;
            self.away.insert(buffer.rank(*tag));
        }
        buffer.used = true;
        buffer.count += 1;
        let surplus = (buffer.kept.len() + 1).saturating_sub(KEPT_FRAMES);
        self.bytes -= buffer.forget(surplus);
        buffer.kept.push_back((now, frame.to_vec()));
        buffer.bytes += frame.len();
        self.bytes += frame.len();
        buffer.conn.map_or(Delivery::Kept, Delivery::Send)
    }

    /// Nothing more fits: the longest buffers are cut to one length, oldest frames first, so that whoever has
    /// little kept loses none of it to floods for others. An eighth is freed, so that this is seldom done.
    fn make_room(&mut self, length: usize) {
        let enough = (self.max_bytes / 8 * 7).min(self.max_bytes - length);
        let mut lengths: Vec<usize> = self.buffers.values().map(|buffer| buffer.bytes).collect();
        lengths.sort_unstable();
        let (mut left, mut longer) = (enough, lengths.len());
        let mut most = 0;
        for length in lengths {
            most = left / longer;
            if length > most {
                break;
            }
            left -= length;
            longer -= 1;
        }
        let mut longer: Vec<_> = self
            .buffers
            .values_mut()
            .filter(|buffer| buffer.bytes > most)
            .collect();
        // Of those that have as much, who has been away for longest; nobody's frames go without need.
        longer.sort_unstable_by_key(|buffer| (Reverse(buffer.bytes), buffer.left));
        for buffer in longer {
            if self.bytes <= enough {
                return;
            }
            self.bytes -= buffer.shorten(most);
        }
    }

    /// The client has counted `received` frames.
    pub(super) fn forget_counted(&mut self, tag: &ConnectionTag, received: u64) {
        if let Some(buffer) = self.buffers.get_mut(tag) {
            let first = buffer.count - buffer.kept.len() as u64;
            let counted = usize::try_from(received.saturating_sub(first)).unwrap_or(usize::MAX);
            self.bytes -= buffer.forget(counted);
        }
    }

    /// Forgets tags and frames whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let (bytes, away) = (&mut self.bytes, &mut self.away);
        self.buffers.retain(|tag, buffer| {
            *bytes -= buffer.forget_old(now);
            let lives = buffer.conn.is_some() || now.since(buffer.left) < TAG_LIFE;
            if !lives {
                *bytes -= buffer.forget(usize::MAX);
                away.remove(&buffer.rank(*tag));
            }
            lives
        });
    }
}

impl Buffer {
    const fn new(now: Timestamp) -> Self {
        Self {
            conn: None,
            left: now,
            count: 0,
            kept: VecDeque::new(),
            bytes: 0,
            used: false,
        }
    }

    /// Its place among those that are away.
    const fn rank(&self, tag: ConnectionTag) -> (bool, Timestamp, ConnectionTag) {
        (self.used, self.left, tag)
    }

    /// What the client has not counted and will not get any more is not counted here either: both sides
    /// go on from the client's count.
    fn go_on_from(&mut self, received: u64) {
        let expected = received.saturating_add(self.kept.len() as u64);
        self.count = self.count.min(expected);
    }

    /// Forgets frames whose time is over; yields their bytes.
    fn forget_old(&mut self, now: Timestamp) -> usize {
        let old = |(kept, _): &&(Timestamp, Vec<u8>)| now.since(*kept) > KEPT_FOR;
        let old = self.kept.iter().take_while(old).count();
        self.forget(old)
    }

    /// Forgets the oldest frames until no more than so many bytes are left; yields those that it forgot.
    fn shorten(&mut self, most: usize) -> usize {
        let mut left = self.bytes;
        let surplus = |(_, frame): &&(Timestamp, Vec<u8>)| {
            let is_surplus = left > most;
            left -= frame.len();
            is_surplus
        };
        let surplus = self.kept.iter().take_while(surplus).count();
        self.forget(surplus)
    }

    /// Forgets the `n` oldest frames; yields their bytes.
    fn forget(&mut self, n: usize) -> usize {
        let n = n.min(self.kept.len());
        let bytes = self.kept.drain(..n).map(|(_, frame)| frame.len()).sum();
        self.bytes -= bytes;
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: ConnectionTag = ConnectionTag::from_bytes([1; 16]);
    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn tags() -> Tags {
        Tags::new(2, 10_000)
    }

    fn attach(tags: &mut Tags, conn: u64, received: u64, now: Timestamp) -> Attached {
        tags.attach(TAG, ConnId(conn), received, now).unwrap()
    }

    #[test]
    fn resumption_sends_again_what_was_not_counted() {
        let mut tags = tags();
        let first = attach(&mut tags, 1, 0, NOW);
        assert_eq!(
            first,
            Attached {
                resumed: false,
                replaced: None,
                missed: vec![]
            }
        );
        for n in 0..4 {
            assert_eq!(tags.deliver(&TAG, &[n], NOW), Delivery::Send(ConnId(1)));
        }
        tags.forget_counted(&TAG, 1);
        tags.detach(&TAG, ConnId(1), NOW);
        assert_eq!(tags.deliver(&TAG, &[4], NOW), Delivery::Kept);
        let again = attach(&mut tags, 2, 3, NOW);
        assert_eq!(
            again,
            Attached {
                resumed: true,
                replaced: None,
                missed: vec![vec![3], vec![4]]
            }
        );
        tags.forget_counted(&TAG, 99);
        assert_eq!(tags.bytes, 0, "a count from nowhere does no harm");
    }

    #[test]
    fn the_newest_connection_has_the_tag() {
        let mut tags = tags();
        attach(&mut tags, 1, 0, NOW);
        assert_eq!(attach(&mut tags, 2, 0, NOW).replaced, Some(ConnId(1)));
        tags.detach(&TAG, ConnId(1), NOW);
        assert_eq!(tags.deliver(&TAG, &[0], NOW), Delivery::Send(ConnId(2)));
    }

    #[test]
    fn fault_11_without_the_tag_nothing_is_delivered_or_kept() {
        let mut tags = tags();
        assert_eq!(tags.deliver(&TAG, &[0], NOW), Delivery::Dropped);
        let other = ConnectionTag::from_bytes([2; 16]);
        attach(&mut tags, 1, 0, NOW);
        tags.deliver(&TAG, &[0], NOW);
        let attached = tags.attach(other, ConnId(2), 0, NOW).unwrap();
        assert_eq!((attached.replaced, attached.missed.len()), (None, 0));
    }

    #[test]
    fn who_makes_up_tags_takes_no_place_from_the_connected_nor_from_those_in_use() {
        let mut tags = tags();
        let tag = |n| ConnectionTag::from_bytes([n; 16]);
        let at = |n| NOW + Duration::from_secs(n);
        let attach = |tags: &mut Tags, n: u8, now| tags.attach(tag(n), ConnId(n.into()), 0, now);
        attach(&mut tags, 1, NOW).unwrap();
        attach(&mut tags, 2, NOW).unwrap();
        assert!(attach(&mut tags, 3, NOW).is_none(), "both are connected");
        tags.deliver(&tag(1), &[0; 10], NOW);
        tags.detach(&tag(1), ConnId(1), NOW);
        tags.detach(&tag(2), ConnId(2), at(1));
        for n in 3..9 {
            assert!(!attach(&mut tags, n, at(2)).unwrap().resumed);
            tags.detach(&tag(n), ConnId(n.into()), at(2));
        }
        assert_eq!((tags.buffers.len(), tags.away.len()), (2, 2));
        assert!(
            attach(&mut tags, 1, at(3)).unwrap().resumed,
            "it was in use"
        );
        assert!(attach(&mut tags, 9, at(3)).is_some());
        assert!(attach(&mut tags, 2, at(3)).is_none(), "both are connected");
        tags.detach(&tag(1), ConnId(1), at(3));
        assert!(attach(&mut tags, 2, at(3)).is_some());
        assert_eq!(tags.bytes, 0, "what was kept for it is gone with it");
        assert!(tags.away.is_empty());
    }

    #[test]
    fn a_buffer_keeps_64_frames_for_60_seconds() {
        let mut tags = tags();
        attach(&mut tags, 1, 0, NOW);
        tags.detach(&TAG, ConnId(1), NOW);
        (0..70).for_each(|n| assert_eq!(tags.deliver(&TAG, &[n], NOW), Delivery::Kept));
        let later = NOW + KEPT_FOR;
        let attached = attach(&mut tags, 2, 3, later);
        assert_eq!(attached.missed.first(), Some(&vec![6]));
        assert_eq!(attached.missed.len(), 64);
        assert_eq!(
            attach(&mut tags, 3, 3, later + Duration::from_ms(1))
                .missed
                .len(),
            0
        );
        tags.expire(later + Duration::from_ms(1));
        assert_eq!(tags.bytes, 0);
    }

    #[test]
    fn frames_lost_while_the_client_was_away_do_not_shift_the_count() {
        let mut tags = tags();
        attach(&mut tags, 1, 0, NOW);
        tags.detach(&TAG, ConnId(1), NOW);
        (0..3).for_each(|n| assert_eq!(tags.deliver(&TAG, &[n], NOW), Delivery::Kept));
        let later = NOW + KEPT_FOR + Duration::from_ms(1);
        assert_eq!(attach(&mut tags, 2, 0, later).missed.len(), 0);
        tags.deliver(&TAG, &[3], later);
        assert_eq!(attach(&mut tags, 3, 1, later).missed.len(), 0, "it came");
        tags.deliver(&TAG, &[4], later);
        assert_eq!(attach(&mut tags, 4, 1, later).missed, [[4]], "it did not");
        attach(&mut tags, 5, u64::MAX, later);
        tags.deliver(&TAG, &[5], later);
        assert_eq!(tags.bytes, 1, "a count from nowhere does no harm");
    }

    #[test]
    fn memory_is_bounded_and_counts_stay_true() {
        let mut tags = Tags::new(2, 25);
        attach(&mut tags, 1, 0, NOW);
        for n in 0..3 {
            assert_eq!(tags.deliver(&TAG, &[n; 10], NOW), Delivery::Send(ConnId(1)));
        }
        assert_eq!(tags.bytes, 20, "the third did not fit beside the first");
        let missed = attach(&mut tags, 2, 0, NOW).missed;
        assert_eq!(missed, [[1; 10], [2; 10]]);
        tags.detach(&TAG, ConnId(2), NOW);
        assert_eq!(tags.deliver(&TAG, &[4; 30], NOW), Delivery::Dropped);
        assert_eq!(tags.deliver(&TAG, &[4; 25], NOW), Delivery::Kept);
        assert_eq!(attach(&mut tags, 3, 2, NOW).missed, [[4; 25]]);
    }

    #[test]
    fn fault_15_a_flood_for_as_many_clients_as_there_is_room_for_costs_an_eighth() {
        let mut tags = Tags::new(1_000, 10_000);
        let tag = |n: u16| {
            let mut tag = [0; 16];
            tag[..2].copy_from_slice(&n.to_be_bytes());
            ConnectionTag::from_bytes(tag)
        };
        for n in 0..101 {
            let now = NOW + Duration::from_secs(u64::from(n));
            tags.attach(tag(n), ConnId(n.into()), 0, now).unwrap();
            tags.detach(&tag(n), ConnId(n.into()), now);
            assert_eq!(tags.deliver(&tag(n), &[1; 100], NOW), Delivery::Kept);
        }
        let has = |n: &u16| !tags.buffers[&tag(*n)].kept.is_empty();
        let lost: Vec<u16> = (0..101).filter(|n| !has(n)).collect();
        assert_eq!(
            lost,
            (0..13).collect::<Vec<_>>(),
            "those that were left first"
        );
    }

    #[test]
    fn fault_15_floods_for_some_clients_cost_the_others_nothing() {
        const FLOODED: u8 = 10;
        let mut tags = Tags::new(100, 10_000);
        let tag = |n: u8| ConnectionTag::from_bytes([n; 16]);
        for n in 0..FLOODED + 5 {
            let attached = tags.attach(tag(n), ConnId(n.into()), 0, NOW);
            assert!(attached.is_some());
            // Some of those that a flood is for are there, and count nothing.
            if n % 2 == 0 {
                tags.detach(&tag(n), ConnId(n.into()), NOW);
            }
        }
        for n in FLOODED..FLOODED + 5 {
            for frame in 0..5 {
                let delivery = tags.deliver(&tag(n), &[frame; 100], NOW);
                assert_ne!(delivery, Delivery::Dropped);
            }
        }
        for frame in 0..1000 {
            let delivery = tags.deliver(&tag(frame as u8 % FLOODED), &[1; 100], NOW);
            assert_ne!(delivery, Delivery::Dropped);
            assert!(tags.bytes <= 10_000);
        }
        let kept: usize = tags.buffers.values().map(|buffer| buffer.bytes).sum();
        assert_eq!(tags.bytes, kept);
        assert!(kept > 8_000, "no more is freed than has to be: {kept}");
        for n in FLOODED..FLOODED + 5 {
            let attached = tags.attach(tag(n), ConnId(99), 0, NOW).unwrap();
            assert_eq!(
                attached.missed,
                [[0; 100], [1; 100], [2; 100], [3; 100], [4; 100]]
            );
        }
        for n in 0..FLOODED {
            let attached = tags.attach(tag(n), ConnId(99), 0, NOW).unwrap();
            let (missed, count) = (attached.missed.len(), tags.buffers[&tag(n)].count);
            assert!((5..64).contains(&missed), "{missed}");
            assert!(count >= missed as u64);
        }
    }

    #[test]
    fn a_tag_lives_twelve_hours_after_its_connection() {
        let mut tags = tags();
        attach(&mut tags, 1, 0, NOW);
        tags.expire(NOW + Duration::from_days(9));
        tags.detach(&TAG, ConnId(1), NOW + Duration::from_days(9));
        let gone = NOW + Duration::from_days(9) + TAG_LIFE;
        tags.expire(gone - Duration::from_ms(1));
        assert!(attach(&mut tags, 2, 0, gone).resumed);
        tags.detach(&TAG, ConnId(2), gone);
        tags.expire(gone + TAG_LIFE);
        assert!(!attach(&mut tags, 3, 0, gone).resumed);
    }
}
