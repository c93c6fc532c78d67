//! What a path or a whole network does for privacy, and what is lost where relays are few
//! (docs/THREAT_MODEL.md, "Small networks").

/// From this many relays on, if no two of them have one operator or subnet, the rules are strict.
pub const ENOUGH_RELAYS: usize = 12;

/// How far the rules gave way for a path. Each step includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relaxation {
    /// Not at all.
    #[default]
    Strict,
    /// Two relays may have one operator.
    SameOperator,
    /// Two relays may be in one subnet.
    SameSubnet,
    /// A relay between guard and target may be in the swarm.
    SwarmOnPath,
    /// No vanguard.
    NoVanguard,
    /// The guard may be in the swarm.
    GuardInSwarm,
    /// Guard and target only.
    TwoHops,
    /// The guard is the target.
    OneHop,
}

impl Relaxation {
    /// In the order in which the rules give way.
    pub const ALL: [Self; 8] = [
        Self::Strict,
        Self::SameOperator,
        Self::SameSubnet,
        Self::SwarmOnPath,
        Self::NoVanguard,
        Self::GuardInSwarm,
        Self::TwoHops,
        Self::OneHop,
    ];

    /// What is lost, as a sentence for people. `None` if nothing is.
    pub const fn warning(self) -> Option<&'static str> {
        match self {
            Self::Strict => None,
            Self::SameOperator | Self::SameSubnet => Some(
                "Relays of one operator or network carry the same message: together they could trace it.",
            ),
            Self::SwarmOnPath | Self::NoVanguard => Some(
                "There are few relays: those that hold mail also pass messages on, and could trace some.",
            ),
            Self::GuardInSwarm => Some(
                "There are few relays: the one that sees your IP address may also hold the mail concerned.",
            ),
            Self::TwoHops => {
                Some("There are two relays only: together they see who talks to whom.")
            }
            Self::OneHop => Some(
                "There is one relay only: it sees your IP address and which mailboxes you use.",
            ),
        }
    }
}

/// What the network as it is now can do for its users' privacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkPrivacy {
    /// Relays that can be used.
    pub relays: usize,
    /// How many of them are independent of each other ([`Party`](super::party::Party)).
    pub independent: usize,
    /// Relays on the way to another relay, that one included.
    pub hops: usize,
    /// The furthest that the rules may have to give way.
    pub worst: Relaxation,
}

impl NetworkPrivacy {
    /// What is lost, as a sentence for people. `None` if nothing is.
    pub const fn warning(&self) -> Option<&'static str> {
        match self.relays {
            0 => Some("No relay is known."),
            _ => self.worst.warning(),
        }
    }
}
