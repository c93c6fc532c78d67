//! What a hop is told to do: the 64 bytes that it finds at the front of its routing block
//! (PROTOCOL.md §5).

use thiserror::Error;

use super::epoch::Epoch;
use super::layout::{COMMAND_LEN, MAC_LEN, Reader, Writer};
use crate::id::{ConnectionTag, NodeId, SurbId};
use crate::time::Duration;

/// The longest delay that a sender can ask of a hop.
pub const MAX_DELAY: Duration = Duration::from_ms(60_000);

const FORWARD: u8 = 1;
const PROCESS: u8 = 2;
const DELIVER: u8 = 3;

/// A routing command. Its unused bytes are zero, and a hop refuses them otherwise, so that a sender
/// cannot be told apart by what it leaves in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Send the packet on to `next`, after `delay`.
    Forward {
        next: NodeId,
        epoch: Epoch,
        delay: Duration,
        mac: [u8; MAC_LEN],
    },
    /// The packet is for this relay: its body is a request.
    Process,
    /// The packet is a reply: its body goes to the client behind `tag`.
    Deliver { tag: ConnectionTag, surb: SurbId },
}

/// The command that authenticated is not one that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadCommand {
    /// No such command.
    #[error("command {0} is unknown")]
    Unknown(u8),
    /// A byte that must be zero is not.
    #[error("a reserved byte is set")]
    ReservedByteSet,
    /// A delay above [`MAX_DELAY`].
    #[error("a delay of {0:?} is too long")]
    DelayTooLong(Duration),
}

impl Command {
    pub(super) fn encode(&self) -> [u8; COMMAND_LEN] {
        let mut bytes = [0; COMMAND_LEN];
        let writer = Writer::new(&mut bytes);
        match self {
            Self::Forward {
                next,
                epoch,
                delay,
                mac,
            } => writer
                .put(&[FORWARD, 0])
                .put(&epoch.to_bytes())
                .put(
                    &u32::try_from(delay.as_ms())
                        .unwrap_or(u32::MAX)
                        .to_be_bytes(),
                )
                .put(next.as_bytes())
                .put(mac),
            Self::Process => writer.put(&[PROCESS]),
            Self::Deliver { tag, surb } => writer
                .put(&[DELIVER, 0, 0, 0, 0, 0, 0, 0])
                .put(tag.as_bytes())
                .put(&[0; 4])
                .put(surb.as_bytes()),
        };
        bytes
    }

    pub(super) fn decode(bytes: &[u8; COMMAND_LEN]) -> Result<Self, BadCommand> {
        // The five fields fill the 64 bytes, so this never runs short.
        Self::fields(bytes).unwrap_or(Err(BadCommand::ReservedByteSet))
    }

    fn fields(bytes: &[u8; COMMAND_LEN]) -> Option<Result<Self, BadCommand>> {
        let mut reader = Reader::new(bytes);
        let [kind, zero] = reader.array()?;
        let epoch = Epoch::from_bytes(reader.array()?);
        let delay: [u8; 4] = reader.array()?;
        let target: [u8; NodeId::LEN] = reader.array()?;
        let mac: [u8; MAC_LEN] = reader.array()?;
        let clean = zero == 0 && is_zero(reader.rest());
        Some(match kind {
            FORWARD => Self::forward(target, epoch, u32::from_be_bytes(delay), mac, clean),
            PROCESS => match is_zero(bytes.get(1..)?) {
                true => Ok(Self::Process),
                false => Err(BadCommand::ReservedByteSet),
            },
            DELIVER => Self::deliver(
                &target,
                mac,
                clean && epoch.number() == 0 && delay == [0; 4],
            ),
            other => Err(BadCommand::Unknown(other)),
        })
    }

    fn forward(
        target: [u8; NodeId::LEN],
        epoch: Epoch,
        delay: u32,
        mac: [u8; MAC_LEN],
        clean: bool,
    ) -> Result<Self, BadCommand> {
        let delay = Duration::from_ms(delay.into());
        match clean {
            false => Err(BadCommand::ReservedByteSet),
            true if delay > MAX_DELAY => Err(BadCommand::DelayTooLong(delay)),
            true => Ok(Self::Forward {
                next: NodeId::from_bytes(target),
                epoch,
                delay,
                mac,
            }),
        }
    }

    fn deliver(target: &[u8], surb: [u8; MAC_LEN], clean: bool) -> Result<Self, BadCommand> {
        let tag = target
            .split_first_chunk()
            .filter(|(_, zeros)| clean && is_zero(zeros));
        tag.map(|(tag, _)| Self::Deliver {
            tag: ConnectionTag::from_bytes(*tag),
            surb: SurbId::from_bytes(surb),
        })
        .ok_or(BadCommand::ReservedByteSet)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forward() -> Command {
        Command::Forward {
            next: NodeId::from_bytes([0x11; 20]),
            epoch: Epoch::from_number(0x0203),
            delay: Duration::from_ms(0x0405),
            mac: [0x22; 16],
        }
    }

    fn deliver() -> Command {
        Command::Deliver {
            tag: ConnectionTag::from_bytes([0x33; 16]),
            surb: SurbId::from_bytes([0x44; 16]),
        }
    }

    #[test]
    fn the_bytes_lie_where_the_protocol_says() {
        let bytes = forward().encode();
        assert_eq!(bytes[..8], [1, 0, 2, 3, 0, 0, 4, 5]);
        assert_eq!(bytes[8..28], [0x11; 20]);
        assert_eq!(bytes[28..44], [0x22; 16]);
        assert_eq!(bytes[44..], [0; 20]);
        let bytes = deliver().encode();
        assert_eq!(bytes[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..24], [0x33; 16]);
        assert_eq!(bytes[24..28], [0; 4]);
        assert_eq!(bytes[28..44], [0x44; 16]);
        assert_eq!(bytes[44..], [0; 20]);
        assert_eq!(
            Command::Process.encode(),
            core::array::from_fn(|i| if i == 0 { 2 } else { 0 })
        );
    }

    #[test]
    fn every_command_survives_a_round_trip() {
        for command in [forward(), Command::Process, deliver()] {
            assert_eq!(Command::decode(&command.encode()), Ok(command));
        }
    }

    #[test]
    fn a_reserved_byte_that_is_set_is_refused() {
        let cases: [(Command, Vec<usize>); 3] = [
            (forward(), [1].into_iter().chain(44..64).collect()),
            (Command::Process, (1..64).collect()),
            (deliver(), (1..8).chain(24..28).chain(44..64).collect()),
        ];
        for (command, reserved) in cases {
            for at in reserved {
                let mut bytes = command.encode();
                bytes[at] = 1;
                let error = Command::decode(&bytes).unwrap_err();
                assert_eq!(error, BadCommand::ReservedByteSet, "{command:?} at {at}");
            }
        }
    }

    #[test]
    fn a_delay_is_capped() {
        let longest = |ms| {
            let Command::Forward {
                next, epoch, mac, ..
            } = forward()
            else {
                unreachable!()
            };
            Command::Forward {
                next,
                epoch,
                delay: Duration::from_ms(ms),
                mac,
            }
            .encode()
        };
        assert!(Command::decode(&longest(60_000)).is_ok());
        let error = Command::decode(&longest(60_001)).unwrap_err();
        assert_eq!(error, BadCommand::DelayTooLong(Duration::from_ms(60_001)));
        assert!(Command::decode(&longest(u64::MAX)).is_err());
    }

    #[test]
    fn unknown_commands_are_refused() {
        for kind in (0..=255).filter(|kind| ![1, 2, 3].contains(kind)) {
            let mut bytes = [0; COMMAND_LEN];
            bytes[0] = kind;
            assert_eq!(Command::decode(&bytes), Err(BadCommand::Unknown(kind)));
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in any::<[u8; 64]>(), kind in 0u8..5) {
            let mut bytes = bytes;
            bytes[0] = kind;
            bytes[1] = 0;
            bytes[44..].fill(0);
            if let Ok(command) = Command::decode(&bytes) {
                prop_assert_eq!(command.encode(), bytes);
            }
        }
    }
}
