//! What a run is like: who talks, what goes wrong, and what is deliberately broken.

use zentalk_shared::onion::{MixMode, Suite};
use zentalk_shared::time::Duration;

use super::clock::Skew;

/// A schedule's parameters. The seed draws everything else.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Draws keys, latencies, faults, who writes to whom.
    pub seed: u64,
    /// Relays.
    pub relays: usize,
    /// Of these, relays that offer no onion suite but X25519. The others offer X-Wing, too.
    pub classical_relays: usize,
    /// Of these, members that hand out other bytes under the ids of the envelopes that they hold.
    pub liars: usize,
    /// The onion suite that clients prefer.
    pub suite: Suite,
    /// The weakest that they may use.
    pub floor: Option<Suite>,
    /// How much they mix.
    pub mixing: MixMode,
    /// Clients.
    pub clients: usize,
    /// Of these, people who come when half of the trouble is over, to whom others write before.
    pub late: usize,
    /// Texts that are sent.
    pub messages: usize,
    /// Relays that die for good, one after the other.
    pub lost_relays: usize,
    /// Relays that are away for [`away_for`](Self::away_for), and come back with their disk.
    pub relays_away: usize,
    /// The same, but with a disk that is restored from a backup of before.
    pub relays_restored: usize,
    /// How long relays are away.
    pub away_for: Duration,
    /// Clients that sleep for most of the trouble.
    pub sleepers: usize,
    /// Relays that turn their owners away for a while, and take mail for them all the same.
    pub deaf_relays: usize,
    /// How long they do.
    pub deaf_for: Duration,
    /// How far clocks are off: of three hosts one has the right time, one is ahead, one behind.
    pub skew: Skew,
    /// Relays that pass no packet on, at all or before [`late_by`](Self::late_by); the last ones.
    pub droppers: usize,
    /// They pass packets on after this time, instead.
    pub late_by: Option<Duration>,
    /// One member was away when mail came, and is the only one that is left when its owner comes.
    pub survivor: bool,
    /// Client crashes between commit and send.
    pub crashes_after_commit: usize,
    /// Client crashes before a commit.
    pub crashes_before_commit: usize,
    /// Relay crashes.
    pub relay_crashes: usize,
    /// Clients that lose all their sessions, as from a store that was damaged.
    pub lost_sessions: usize,
    /// A guard that dies with a push.
    pub guard_death: Option<GuardDeath>,
    /// Links that are cut.
    pub cuts: usize,
    /// Onion packets lost, in percent.
    pub loss: u32,
    /// Before anybody comes relays have this long to find each other: until then the network looks small.
    pub settle: Duration,
    /// While this lasts, messages are sent and things go wrong.
    pub trouble: Duration,
    /// Then nothing goes wrong any more; everything must have arrived after this.
    pub calm: Duration,
    /// What is broken on purpose.
    pub mutation: Option<Mutation>,
}

/// The death of the guard of somebody who gets a text, as it hands the push over.
#[derive(Clone, Copy, Debug)]
pub struct GuardDeath {
    /// Which text.
    pub text: usize,
    /// When the guard is back, having forgotten what came for its clients. None: it never is.
    pub back: Option<Duration>,
}

/// A deliberately broken build, which a run must find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Relays answer for what is not on their disk yet.
    AcknowledgeBeforeCommit,
    /// Clients send before they have committed.
    CommitAfterSend,
    /// Relays pass a packet on in a frame with the id of the frame that it came in.
    KeepFrameIds,
    /// Clients show the same tag to all their guards.
    OneTagForAllGuards,
    /// Clients also put mail straight to their guard, by an onion of one hop.
    PutInOneHop,
    /// Clients also put mail by a path whose last relay is its guard.
    GuardIsMember,
    /// Members of a swarm do not compare what they hold.
    NoAntiEntropy,
}

impl Plan {
    /// Two people, four texts, and nothing that goes wrong but that a guard dies with the push of the last one.
    pub fn death_of_a_guard(seed: u64, back: Option<Duration>) -> Self {
        Self {
            clients: 2,
            messages: 4,
            crashes_after_commit: 0,
            crashes_before_commit: 0,
            relay_crashes: 0,
            cuts: 0,
            loss: 0,
            guard_death: Some(GuardDeath { text: 3, back }),
            ..Self::standard(seed)
        }
    }

    /// Members of swarms are lost for good in the middle of conversations, others are away for hours, and one
    /// comes back with yesterday's disk: 12 relays, 6 clients, 12 hours.
    pub fn losses(seed: u64) -> Self {
        Self {
            relays: 12,
            clients: 6,
            messages: 40,
            lost_relays: 2,
            relays_away: 1,
            relays_restored: 1,
            crashes_after_commit: 0,
            crashes_before_commit: 0,
            relay_crashes: 2,
            cuts: 2,
            loss: 1 + u32::try_from(seed % 3).unwrap_or(0),
            trouble: Duration::from_hours(12),
            calm: Duration::from_hours(12),
            ..Self::standard(seed)
        }
    }

    /// A member of many swarms serves their owners no more, until they have left it, and then does again; senders go
    /// on as before, and some sleep meanwhile: 12 relays, 6 clients, 12 hours.
    pub fn moves(seed: u64) -> Self {
        Self {
            deaf_relays: 1,
            sleepers: 2,
            lost_relays: 0,
            relays_away: 0,
            relays_restored: 0,
            ..Self::losses(seed)
        }
    }

    /// A member returns that has missed mail, and when the owner comes all others are gone for good.
    pub fn survivor(seed: u64) -> Self {
        Self {
            relays: 16,
            clients: 4,
            messages: 12,
            survivor: true,
            lost_relays: 0,
            relays_away: 0,
            relays_restored: 0,
            relay_crashes: 0,
            cuts: 0,
            loss: 0,
            trouble: Duration::from_mins(100),
            ..Self::losses(seed)
        }
    }

    /// Two of twelve relays pass no packets on, or late, from the first minute to the last: 8 clients, an hour.
    pub fn droppers(seed: u64, late_by: Option<Duration>) -> Self {
        Self {
            relays: 12,
            clients: 8,
            messages: 60,
            droppers: 2,
            late_by,
            relay_crashes: 0,
            cuts: 0,
            loss: 0,
            trouble: Duration::from_hours(1),
            ..Self::standard(seed)
        }
    }

    /// A network of few relays, down to one.
    pub fn few_relays(seed: u64, relays: usize) -> Self {
        Self {
            relays,
            clients: 6,
            messages: 24,
            relay_crashes: 1,
            ..Self::standard(seed)
        }
    }

    /// The schedule that every build must pass: 20 clients, 9 relays, at least 40 messages.
    pub fn standard(seed: u64) -> Self {
        Self {
            seed,
            relays: 9,
            classical_relays: 0,
            liars: 0,
            suite: Suite::X25519,
            floor: None,
            mixing: MixMode::Off,
            lost_relays: 0,
            relays_away: 0,
            relays_restored: 0,
            away_for: Duration::from_hours(2),
            sleepers: 0,
            deaf_relays: 0,
            deaf_for: Duration::from_hours(6),
            skew: Skew::NONE,
            droppers: 0,
            late_by: None,
            survivor: false,
            clients: 20,
            late: 0,
            messages: 40 + usize::try_from(seed % 9).unwrap_or(0),
            crashes_after_commit: 2 + usize::try_from(seed % 3).unwrap_or(0),
            crashes_before_commit: 1 + usize::try_from(seed % 2).unwrap_or(0),
            relay_crashes: 3 + usize::try_from(seed % 4).unwrap_or(0),
            lost_sessions: 0,
            guard_death: None,
            cuts: 6,
            loss: 5 + u32::try_from(seed % 16).unwrap_or(0),
            settle: Duration::ZERO,
            trouble: Duration::from_mins(4),
            calm: Duration::from_mins(40),
            mutation: None,
        }
    }
}
