//! One socket: frames in one way, frames out the other, by one task and one writer.
//!
//! A WebSocket message is one frame. Only this task writes to the socket, so frames cannot interleave.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::actor::{Event, OutboundQueue, Outgoing, outbound};
use crate::core::{ConnId, Remote};

/// A socket that takes nothing for this long is given up.
const WRITE_DEADLINE: Duration = Duration::from_secs(20);
/// After the last word a socket is read for this long, until the peer has closed it, too.
const LINGER: Duration = Duration::from_secs(1);
/// WebSocket's own pings and pongs, which the core does not count, within [`CONTROL_PERIOD`].
const MAX_CONTROLS: u32 = 60;
const CONTROL_PERIOD: Duration = Duration::from_secs(60);
/// Frames written before they are flushed.
const WRITE_BATCH: usize = 64;

/// A socket's message, whatever the library.
pub(super) enum Message {
    /// A frame.
    Binary(Vec<u8>),
    /// WebSocket's own: pings, which the library answers.
    Control,
    /// The end, or text, which nobody sends.
    End,
}

/// Connections are named in the order in which they open.
fn next_conn() -> ConnId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ConnId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Serves a socket until either side ends it.
pub(super) async fn serve<S, M, E>(
    socket: S,
    remote: Remote,
    events: mpsc::Sender<Event>,
    read: fn(M) -> Message,
    write: fn(Vec<u8>) -> M,
) where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    let conn = next_conn();
    let (outbound, queue) = outbound();
    if events
        .send(Event::Opened(conn, remote, outbound))
        .await
        .is_err()
    {
        return;
    }
    let (sink, mut stream) = socket.split();
    // The end of one direction is the end of both.
    let said_all = tokio::select! {
        () = read_frames(&mut stream, conn, &events, read) => false,
        said_all = write_frames(sink, queue, write) => said_all,
    };
    // If the core is gone there is nobody to tell.
    drop(events.send(Event::Closed(conn)).await);
    if said_all {
        // To close with unread bytes resets the connection, and the peer would never read why it ends.
        drop(
            timeout(LINGER, async {
                while let Some(Ok(_)) = stream.next().await {}
            })
            .await,
        );
    }
}

async fn read_frames<M, E>(
    stream: &mut (impl Stream<Item = Result<M, E>> + Unpin),
    conn: ConnId,
    events: &mpsc::Sender<Event>,
    read: fn(M) -> Message,
) {
    let mut controls = (Instant::now(), 0);
    while let Some(Ok(message)) = stream.next().await {
        match read(message) {
            Message::Binary(frame) => {
                if events.send(Event::Frame(conn, frame)).await.is_err() {
                    return;
                }
            }
            Message::Control => {
                if controls.0.elapsed() > CONTROL_PERIOD {
                    controls = (Instant::now(), 0);
                }
                controls.1 += 1;
                if controls.1 > MAX_CONTROLS {
                    return;
                }
            }
            Message::End => return,
        }
    }
}

/// Writes until the core has no more to say (true) or the socket takes no more (false).
async fn write_frames<M, E>(
    mut sink: impl Sink<M, Error = E> + Unpin,
    mut queue: OutboundQueue,
    write: fn(Vec<u8>) -> M,
) -> bool {
    loop {
        let first = queue.next().await;
        match timeout(
            WRITE_DEADLINE,
            write_batch(&mut sink, first, &mut queue, write),
        )
        .await
        {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                let closed = timeout(WRITE_DEADLINE, sink.close()).await;
                return matches!(closed, Ok(Ok(())));
            }
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}

/// Writes what is ready and flushes once. False: that was the last.
async fn write_batch<M, E>(
    sink: &mut (impl Sink<M, Error = E> + Unpin),
    first: Outgoing,
    queue: &mut OutboundQueue,
    write: fn(Vec<u8>) -> M,
) -> Result<bool, E> {
    let mut next = Some(first);
    let mut written = 0;
    while let Some(outgoing) = next {
        match outgoing {
            Outgoing::Frame(frame) => sink.feed(write(frame)).await?,
            Outgoing::Close => {
                sink.flush().await?;
                return Ok(false);
            }
        }
        written += 1;
        next = if written < WRITE_BATCH {
            queue.ready()
        } else {
            None
        };
    }
    sink.flush().await?;
    Ok(true)
}
