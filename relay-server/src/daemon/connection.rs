//! One socket: frames in one way, frames out the other, by one task and one writer.
//!
//! A WebSocket message is one frame. Only this task writes to the socket, so frames cannot interleave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::timeout;

use super::events::{Event, Events};
use super::inbound::Allowance;
use super::outbound::{OutboundQueue, Outgoing, outbound};
use crate::core::{ConnId, Remote};

/// A socket that takes no frame for this long is given up; one that is slow is not.
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

/// Serves a socket until either side ends it. With an allowance the peer may send that much, and else what the
/// socket lets through.
pub(super) async fn serve<S, M, E>(
    socket: S,
    remote: Remote,
    allowance: Option<Arc<Allowance>>,
    events: Events,
    read: fn(M) -> Message,
    write: fn(Vec<u8>) -> M,
) where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    let conn = next_conn();
    let (outbound, queue) = outbound(allowance.clone());
    if events
        .send(Event::Opened(conn, remote, outbound))
        .await
        .is_err()
    {
        return;
    }
    let (sink, mut stream) = socket.split();
    let given_up = queue.given_up();
    let reading = read_frames(&mut stream, conn, &events, allowance.as_deref(), read);
    // The end of one direction is the end of both.
    let said_all = tokio::select! {
        () = reading => false,
        () = given_up => false,
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
    events: &Events,
    allowance: Option<&Allowance>,
    read: fn(M) -> Message,
) {
    let mut controls = (Instant::now(), 0);
    while let Some(Ok(message)) = stream.next().await {
        match read(message) {
            Message::Binary(frame) => {
                if let Some(allowance) = allowance {
                    allowance.message_has_come(frame.len());
                }
                if events.send_frame(conn, frame).await.is_err() {
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
        match write_batch(&mut sink, first, &mut queue, write).await {
            Some(true) => {}
            Some(false) => return in_time(sink.close()).await.is_some(),
            None => return false,
        }
    }
}

/// Writes what is ready and flushes once. False: that was the last; `None`: the socket takes no more.
async fn write_batch<M, E>(
    sink: &mut (impl Sink<M, Error = E> + Unpin),
    first: Outgoing,
    queue: &mut OutboundQueue,
    write: fn(Vec<u8>) -> M,
) -> Option<bool> {
    let mut next = Some(first);
    let mut written = 0;
    while let Some(outgoing) = next {
        match outgoing {
            Outgoing::Frame(frame) => in_time(sink.feed(write(frame))).await?,
            Outgoing::Close => {
                in_time(sink.flush()).await?;
                return Some(false);
            }
        }
        written += 1;
        next = if written < WRITE_BATCH {
            queue.ready()
        } else {
            None
        };
    }
    in_time(sink.flush()).await?;
    Some(true)
}

/// What a socket does within the deadline and without an error.
async fn in_time<T, E>(step: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(WRITE_DEADLINE, step).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::super::events::events;
    use super::super::outbound::Outbound;
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use tokio::sync::mpsc::{self, UnboundedSender};
    use tokio::time::{Instant, Sleep};

    /// A socket from which nothing comes.
    struct Socket {
        /// It takes a frame in so much time; `None`: never.
        every: Option<Duration>,
        flushes: bool,
        closes: bool,
        next: Option<Pin<Box<Sleep>>>,
        taken: UnboundedSender<Vec<u8>>,
    }

    type Done = Poll<Result<(), ()>>;

    fn done_or_never(done: bool) -> Done {
        match done {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    impl Stream for Socket {
        type Item = Result<Vec<u8>, ()>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }

    impl Sink<Vec<u8>> for Socket {
        type Error = ();

        fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Done {
            let Some(every) = self.every else {
                return Poll::Pending;
            };
            let next = self
                .next
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
            ready!(next.as_mut().poll(context));
            self.next = None;
            Poll::Ready(Ok(()))
        }

        fn start_send(self: Pin<&mut Self>, frame: Vec<u8>) -> Result<(), ()> {
            self.taken.send(frame).map_err(drop)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Done {
            done_or_never(self.flushes)
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Done {
            done_or_never(self.closes)
        }
    }

    /// A socket that is served, as the core and its peer see it.
    struct Served {
        conn: ConnId,
        outbound: Option<Outbound>,
        events: mpsc::Receiver<Event>,
        taken: mpsc::UnboundedReceiver<Vec<u8>>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Served {
        async fn new(every: Option<Duration>, flushes: bool, closes: bool) -> Self {
            let (taker, taken) = mpsc::unbounded_channel();
            let socket = Socket {
                every,
                flushes,
                closes,
                next: None,
                taken: taker,
            };
            let (sender, mut events) = events();
            let remote = Remote::Accepted(None);
            let write = |frame| frame;
            let task = tokio::spawn(serve(socket, remote, None, sender, Message::Binary, write));
            let Some(Event::Opened(conn, _, outbound)) = events.recv().await else {
                panic!("it is announced")
            };
            Self {
                conn,
                outbound: Some(outbound),
                events,
                taken,
                task,
            }
        }

        fn send(&self, frame: Vec<u8>) -> bool {
            self.outbound.as_ref().is_some_and(|out| out.send(frame))
        }

        /// How long it takes until the core hears of its end; then nothing of it is left.
        async fn end(&mut self) -> Duration {
            let began = Instant::now();
            let event = self.events.recv().await;
            assert!(matches!(event, Some(Event::Closed(conn)) if conn == self.conn));
            let took = began.elapsed();
            (&mut self.task).await.unwrap();
            assert!(self.taken.is_closed() || self.taken.recv().await.is_none());
            took
        }
    }

    fn is_the_deadline(took: Duration) -> bool {
        // Timers count in milliseconds, upwards.
        (WRITE_DEADLINE..WRITE_DEADLINE + Duration::from_millis(5)).contains(&took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_nothing_is_given_up_after_the_deadline() {
        let at_once = Some(Duration::ZERO);
        for (every, flushes) in [(None, true), (at_once, false)] {
            let mut served = Served::new(every, flushes, true).await;
            assert!(served.send(vec![1]) && served.send(vec![2]));
            assert!(is_the_deadline(served.end().await));
            assert!(!served.send(vec![3]), "nobody takes it any more");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_does_not_close_is_given_up_after_the_deadline() {
        let mut served = Served::new(Some(Duration::ZERO), true, false).await;
        served.outbound = None;
        assert!(is_the_deadline(served.end().await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_is_given_up_ends_at_once_with_frames_still_waiting() {
        let mut served = Served::new(None, true, true).await;
        assert!(served.send(vec![1]) && served.send(vec![2]));
        served.outbound.as_ref().unwrap().give_up();
        assert_eq!(served.end().await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_takes_a_frame_every_19_seconds_gets_them_all() {
        let mut served = Served::new(Some(Duration::from_secs(19)), true, true).await;
        let frames = u8::try_from(WRITE_BATCH * 2 + 1).unwrap();
        assert!((0..frames).all(|n| served.send(vec![n])));
        for n in 0..frames {
            assert_eq!(served.taken.recv().await, Some(vec![n]));
        }
        assert!(served.events.try_recv().is_err(), "it is not ended");
        served.outbound = None;
        let took = served.end().await;
        assert!(took < LINGER, "the core hears of its end at once: {took:?}");
    }
}
