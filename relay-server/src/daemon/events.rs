//! The way from sockets to the core, bounded in events and in bytes.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::outbound::Outbound;
use super::status::Seen;
use crate::core::{ConnId, CoreConfig, Dial, Remote};

/// Events that wait for the core; beyond this, sockets are not read.
const MAX_WAITING: usize = 1024;
/// Of frames that wait for it, so many bytes: as many of the usual ones as there may be events, and one directory.
const MAX_WAITING_KIB: usize = 40 << 10;

/// What sockets and the process tell the core.
pub(super) enum Event {
    /// A connection is open; what is sent to it goes here.
    Opened(ConnId, Remote, Outbound),
    /// A frame has arrived. Its room is free again when the core is done with it.
    Frame(ConnId, Vec<u8>, Room),
    /// A connection is gone.
    Closed(ConnId),
    /// A connection could not be made.
    DialFailed(Dial),
    /// Whether the relay serves.
    Probe(oneshot::Sender<bool>),
    /// How the relay is.
    Look(oneshot::Sender<Seen>),
    /// The operator has changed what may change while the relay runs.
    Configure(Box<CoreConfig>),
    /// Stop: finish what the store works on, tell everybody, then end.
    Shutdown,
}

/// What a frame takes of [`MAX_WAITING_KIB`], until this is dropped.
pub(super) struct Room(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// The core has ended: there is nobody to tell.
#[derive(Debug, Error)]
#[error("the core has ended")]
pub(super) struct Gone;

/// The way to the core; clones share its bounds.
#[derive(Clone)]
pub(super) struct Events {
    queue: mpsc::Sender<Event>,
    room: Arc<Semaphore>,
}

/// The way to the core, and its end there.
pub(super) fn events() -> (Events, mpsc::Receiver<Event>) {
    let (queue, received) = mpsc::channel(MAX_WAITING);
    let room = Arc::new(Semaphore::new(MAX_WAITING_KIB));
    (Events { queue, room }, received)
}

impl Events {
    /// Waits until there is room for one more event.
    pub(super) async fn send(&self, event: Event) -> Result<(), Gone> {
        self.queue.send(event).await.map_err(|_| Gone)
    }

    /// Waits until there is room for these bytes, too; first come, first served.
    pub(super) async fn send_frame(&self, conn: ConnId, frame: Vec<u8>) -> Result<(), Gone> {
        // What was put together of fragments may have taken more than it is long.
        let size = frame.capacity().div_ceil(1 << 10).min(MAX_WAITING_KIB);
        let size = u32::try_from(size).map_err(|_| Gone)?;
        let room = Arc::clone(&self.room).acquire_many_owned(size).await;
        let room = Room(room.map_err(|_| Gone)?);
        self.send(Event::Frame(conn, frame, room)).await
    }

    /// Completes when the core has ended.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Whether anybody else can still tell the core something.
    pub(super) fn is_shared(&self) -> bool {
        self.queue.strong_count() > 1
    }
}

#[cfg(test)]
mod tests {
    use zentalk_shared::wire::HEADER_LEN;
    use zentalk_shared::wire::Tag;
    use zentalk_shared::wire::budget::MAX_PACKET_LEN;

    use super::*;

    /// Frames of a length that are taken without the core's having looked at one.
    async fn taken(length: usize) -> (usize, Events, mpsc::Receiver<Event>) {
        let (events, received) = events();
        let mut count = 0;
        loop {
            let sending = events.send_frame(ConnId(1), vec![0; length]);
            tokio::select! {
                biased;
                sent = sending => sent.unwrap(),
                () = tokio::task::yield_now() => return (count, events, received),
            }
            count += 1;
        }
    }

    #[tokio::test]
    async fn frames_that_wait_for_the_core_are_bounded_in_number_and_in_bytes() {
        let (short, ..) = taken(100).await;
        assert_eq!(short, MAX_WAITING);
        let (packets, ..) = taken(HEADER_LEN + MAX_PACKET_LEN).await;
        assert_eq!(packets, MAX_WAITING, "usual frames are not fewer for it");
        let longest = HEADER_LEN + Tag::Directory.max_payload();
        let (directories, events, mut received) = taken(longest).await;
        assert_eq!(directories, 9);
        drop(received.recv().await);
        assert!(events.send_frame(ConnId(1), vec![0; longest]).await.is_ok());
        drop(received);
        assert!(events.send_frame(ConnId(1), vec![]).await.is_err());
    }
}
