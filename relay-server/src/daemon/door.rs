//! Who may come in: sockets in all and from one network, and how often from one network, before a byte
//! is read. The core counts again what has passed the handshake's first step; here it is about sockets
//! that say nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zentalk_shared::time::{Duration, Timestamp};

use crate::core::{Bucket, Doorkeeper, Origin, Rate};

/// Sockets beyond the core's own caps, so that it can refuse them with a reason.
const SPARE: usize = 256;
const SPARE_EACH: usize = 16;
/// Connections from one network. A handshake between relays costs a signature check.
const ARRIVALS: Rate = Rate {
    per_minute: 600,
    burst: 600,
};
/// Networks whose arrivals are counted; beyond this, those that come too often are not told apart.
const MAX_ORIGINS: usize = 1 << 16;
/// When there are so many, those that have not come for a while are forgotten this often.
const PRUNE_EVERY: Duration = Duration::from_mins(1);

/// The door of one listener.
#[derive(Clone, Debug)]
pub(super) struct Door {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    each: usize,
    sockets: Doorkeeper,
    arrivals: HashMap<Origin, Bucket>,
    /// When those that have not come for a while were forgotten.
    pruned: Timestamp,
}

/// The place of one socket, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Door,
    origin: Option<Origin>,
}

impl Door {
    /// A door for so many connections in all and from one network.
    pub(super) fn new(connections: usize, each: usize) -> Self {
        let door = Self {
            inside: Arc::default(),
        };
        door.resize(connections, each);
        door
    }

    /// Other caps from now on; those who are in stay in.
    pub(super) fn resize(&self, connections: usize, each: usize) {
        let mut inside = self.lock();
        inside.total = connections.saturating_add(SPARE);
        inside.each = each.saturating_add(SPARE_EACH);
    }

    /// A place for a socket, if there is one.
    pub(super) fn enter(&self, origin: Option<Origin>, now: Timestamp) -> Option<Place> {
        let mut inside = self.lock();
        let (total, each) = (inside.total, inside.each);
        let welcome = origin.is_none_or(|origin| inside.may_arrive(origin, now))
            && inside.sockets.enter(origin, total, each);
        welcome.then(|| Place {
            door: self.clone(),
            origin,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn may_arrive(&mut self, origin: Origin, now: Timestamp) -> bool {
        if self.arrivals.len() >= MAX_ORIGINS && !self.arrivals.contains_key(&origin) {
            if now.since(self.pruned) >= PRUNE_EVERY {
                self.pruned = now;
                self.arrivals
                    .retain(|_, bucket| !bucket.is_full(ARRIVALS, now));
            }
            if self.arrivals.len() >= MAX_ORIGINS {
                return true;
            }
        }
        self.arrivals
            .entry(origin)
            .or_insert_with(|| Bucket::full(ARRIVALS, now))
            .take(ARRIVALS, 1, now)
    }
}

impl Place {
    /// Where the socket comes from.
    pub(super) const fn origin(&self) -> Option<Origin> {
        self.origin
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.lock().sockets.leave(self.origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);
    const HERE: Option<Origin> = Some(Origin(1));
    const THERE: Option<Origin> = Some(Origin(2));

    #[test]
    fn fault_15_silent_sockets_of_one_network_leave_room_for_the_others() {
        let door = Door::new(1000, 4);
        let places: Vec<_> = (0..100).filter_map(|_| door.enter(HERE, NOW)).collect();
        assert_eq!(places.len(), 4 + SPARE_EACH);
        assert!(door.enter(THERE, NOW).is_some());
        door.resize(1000, 5);
        assert!(door.enter(HERE, NOW).is_some());
        door.resize(1000, 4);
        assert!(door.enter(HERE, NOW).is_none());
        drop(places);
        assert!(door.enter(HERE, NOW).is_some());
        let all: Vec<_> = (0..2000).filter_map(|_| door.enter(None, NOW)).collect();
        assert_eq!(all.len(), 1000 + SPARE);
    }

    #[test]
    fn fault_15_who_comes_and_goes_too_often_has_to_wait() {
        let door = Door::new(10, 10);
        let came = (0..1000).filter(|_| door.enter(HERE, NOW).is_some());
        assert_eq!(came.count(), ARRIVALS.burst as usize);
        assert!(door.enter(THERE, NOW).is_some());
        assert!(door.enter(HERE, NOW + Duration::from_secs(1)).is_some());
        let everywhere = (0..2 * MAX_ORIGINS as u64).map(Origin);
        everywhere.for_each(|origin| {
            assert!(door.enter(Some(origin), NOW).is_some() || origin == Origin(1))
        });
        assert!(door.lock().arrivals.len() <= MAX_ORIGINS);
    }
}
