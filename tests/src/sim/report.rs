//! What a run came to.

use zentalk_shared::time::Duration;

use super::checker::Violation;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Of which seed.
    pub seed: u64,
    /// Promises broken; empty is good.
    pub violations: Vec<Violation>,
    /// How the texts that are stuck look to their senders.
    pub stuck: Vec<String>,
    /// How the clients are at the end.
    pub people: Vec<String>,
    /// How often people were told that encryption was set up anew.
    pub notices: usize,
    /// Texts sent.
    pub messages: usize,
    /// Client crashes that hit, between commit and send.
    pub crashes_after_commit: usize,
    /// All client and relay crashes that hit.
    pub crashes: usize,
    /// Onion packets lost.
    pub lost: u64,
    /// Onion packets that relays have peeled: of X25519, of X-Wing.
    pub packets: [u64; 2],
    /// Swarms that have lost a member for good.
    pub bereft: usize,
    /// Swarms that list a lost relay at the end, or fewer than three.
    pub broken_swarms: usize,
    /// Owners that have left a member that would not serve them.
    pub left: usize,
    /// Envelopes that were handed out or replicated with other bytes.
    pub lies: u64,
    /// Events that were played.
    pub events: u64,
    /// Virtual time that passed.
    pub took: Duration,
    /// How long it took until a text was shown, for each that was.
    pub delays: Vec<Duration>,
    /// Whether the plan's guard died.
    pub guard_died: bool,
    /// Onion packets that have reached relays in the first and in the second half of the trouble: the plan's droppers, all.
    pub reached: [(u64, u64); 2],
}
