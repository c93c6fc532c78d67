//! What a run is like: who talks, what goes wrong, and what is deliberately broken.

use zentalk_shared::onion::Suite;
use zentalk_shared::time::Duration;

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
    /// Clients.
    pub clients: usize,
    /// Texts that are sent.
    pub messages: usize,
    /// Client crashes between commit and send.
    pub crashes_after_commit: usize,
    /// Client crashes before a commit.
    pub crashes_before_commit: usize,
    /// Relay crashes.
    pub relay_crashes: usize,
    /// Clients that lose all their sessions, as from a store that was damaged.
    pub lost_sessions: usize,
    /// Links that are cut.
    pub cuts: usize,
    /// Onion packets lost, in percent.
    pub loss: u32,
    /// While this lasts, messages are sent and things go wrong.
    pub trouble: Duration,
    /// Then nothing goes wrong any more; everything must have arrived after this.
    pub calm: Duration,
    /// What is broken on purpose.
    pub mutation: Option<Mutation>,
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
}

impl Plan {
    /// The schedule that every build must pass: 20 clients, 9 relays, at least 40 messages.
    pub fn standard(seed: u64) -> Self {
        Self {
            seed,
            relays: 9,
            classical_relays: 0,
            liars: 0,
            suite: Suite::X25519,
            floor: None,
            clients: 20,
            messages: 40 + usize::try_from(seed % 9).unwrap_or(0),
            crashes_after_commit: 2 + usize::try_from(seed % 3).unwrap_or(0),
            crashes_before_commit: 1 + usize::try_from(seed % 2).unwrap_or(0),
            relay_crashes: 3 + usize::try_from(seed % 4).unwrap_or(0),
            lost_sessions: 0,
            cuts: 6,
            loss: 5 + u32::try_from(seed % 16).unwrap_or(0),
            trouble: Duration::from_mins(4),
            calm: Duration::from_mins(40),
            mutation: None,
        }
    }
}
