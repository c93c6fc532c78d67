//! One socket: frames in one way, frames out the other, by one task and one writer.
//!
//! A WebSocket message is one frame. Only this task writes to the socket, so frames cannot interleave. What is longer than
//! a packet goes in fragments, so that neither end keeps a buffer of its length.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use super::events::{Event, Events};
use super::inbound::{Allowance, MAX_MESSAGE};
use super::outbound::{End, OutboundQueue, Outgoing, outbound};
use crate::core::{ConnId, Remote};

/// A socket that does not take a frame, or a fragment of one, within this time is given up; one that is slow is not, as
/// long as there is room for all.
const WRITE_DEADLINE: Duration = Duration::from_secs(20);
/// After the last word a socket is read for this long, until the peer has closed it, too.
const LINGER: Duration = Duration::from_secs(1);
/// WebSocket's own pings and pongs, which the core does not count, within [`CONTROL_PERIOD`].
const MAX_CONTROLS: u32 = 60;
const CONTROL_PERIOD: Duration = Duration::from_secs(60);
/// Frames written before they are flushed.
const WRITE_BATCH: usize = 64;

/// What a WebSocket is to this module.
pub(super) trait Socket:
    Stream<Item = Result<Message, WsError>> + Sink<Message, Error = WsError> + Unpin
{
}

impl<S> Socket for S where
    S: Stream<Item = Result<Message, WsError>> + Sink<Message, Error = WsError> + Unpin
{
}

/// What a socket that flushes beyond `flushed` bytes may hold: one more frame, and answers to pings. More of these do not
/// pile up while the peer does not read.
pub(super) const fn max_write_buffer(flushed: usize) -> usize {
    flushed + 2 * MAX_MESSAGE
}

/// Connections are named in the order in which they open.
fn next_conn() -> ConnId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ConnId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Serves a socket until either side ends it. With an allowance the peer may send that much, and else what the
/// socket lets through.
pub(super) async fn serve(
    socket: impl Socket,
    remote: Remote,
    allowance: Option<Arc<Allowance>>,
    events: Events,
) {
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
    let end = queue.end();
    let reading = read_frames(&mut stream, conn, &events, allowance.as_deref(), &end);
    // The end of one direction is the end of both.
    let said_all = tokio::select! {
        () = reading => false,
        () = end.given_up() => false,
        said_all = write_frames(sink, queue) => said_all,
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

async fn read_frames(
    stream: &mut (impl Stream<Item = Result<Message, WsError>> + Unpin),
    conn: ConnId,
    events: &Events,
    allowance: Option<&Allowance>,
    end: &End,
) {
    let mut controls = (Instant::now(), 0);
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Binary(bytes) => {
                if let Some(allowance) = allowance {
                    allowance.message_has_come(bytes.len());
                }
                // It is read all the same: the peer may wait for that before it reads why its connection ends.
                if end.closes() {
                    continue;
                }
                if events.send_frame(conn, bytes.into()).await.is_err() {
                    return;
                }
            }
            Message::Ping(_) | Message::Pong(_) => {
                if controls.0.elapsed() > CONTROL_PERIOD {
                    controls = (Instant::now(), 0);
                }
                controls.1 += 1;
                if controls.1 > MAX_CONTROLS {
                    return;
                }
            }
            // The end, or text, which nobody sends.
            Message::Text(_) | Message::Close(_) | Message::Frame(_) => return,
        }
    }
}

/// Writes until the core has no more to say (true) or the socket takes no more (false).
async fn write_frames(
    mut sink: impl Sink<Message, Error = WsError> + Unpin,
    mut queue: OutboundQueue,
) -> bool {
    loop {
        let first = queue.next().await;
        match write_batch(&mut sink, first, &mut queue).await {
            Some(true) => {}
            Some(false) => return in_time(sink.close()).await.is_some(),
            None => return false,
        }
    }
}

/// Writes what is ready and flushes once. False: that was the last; `None`: the socket takes no more.
async fn write_batch(
    sink: &mut (impl Sink<Message, Error = WsError> + Unpin),
    first: Outgoing,
    queue: &mut OutboundQueue,
) -> Option<bool> {
    let mut next = Some(first);
    let mut written = 0;
    while let Some(outgoing) = next {
        match outgoing {
            Outgoing::Frame(frame) => {
                let whole = frame.len();
                for (message, length) in fragments(frame) {
                    in_time(sink.feed(message)).await?;
                    queue.taken(length);
                }
                queue.taken_whole(whole);
            }
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

/// A frame as it is written, and the length of each part.
fn fragments(frame: Vec<u8>) -> impl Iterator<Item = (Message, usize)> {
    let mut left = Some(Bytes::from(frame));
    let mut kind = Data::Binary;
    core::iter::from_fn(move || {
        let mut part = left.take()?;
        if part.len() > MAX_MESSAGE {
            left = Some(part.split_off(MAX_MESSAGE));
        }
        let (length, is_last) = (part.len(), left.is_none());
        let kind = core::mem::replace(&mut kind, Data::Continue);
        let message = match is_last && kind == Data::Binary {
            true => Message::Binary(part),
            false => Message::Frame(Frame::message(part, OpCode::Data(kind), is_last)),
        };
        Some((message, length))
    })
}

/// What a socket does within the deadline and without an error.
async fn in_time<T>(step: impl Future<Output = Result<T, WsError>>) -> Option<T> {
    timeout(WRITE_DEADLINE, step).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::super::events::events;
    use super::super::outbound::{CLOSING_DEADLINE, Outbound};
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc::{self, UnboundedSender};
    use tokio::time::{Instant, Sleep};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    /// A socket from which nothing comes.
    struct Mock {
        /// It takes a frame in so much time; `None`: never.
        every: Option<Duration>,
        flushes: bool,
        closes: bool,
        next: Option<Pin<Box<Sleep>>>,
        taken: UnboundedSender<Vec<u8>>,
    }

    type Done = Poll<Result<(), WsError>>;

    fn done_or_never(done: bool) -> Done {
        match done {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    impl Stream for Mock {
        type Item = Result<Message, WsError>;

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Pending
        }
    }

    impl Sink<Message> for Mock {
        type Error = WsError;

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

        fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), WsError> {
            let taken = self.taken.send(message.into_data().into());
            taken.map_err(|_| WsError::AlreadyClosed)
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
            let socket = Mock {
                every,
                flushes,
                closes,
                next: None,
                taken: taker,
            };
            let (sender, mut events) = events();
            let remote = Remote::Accepted(None);
            let task = tokio::spawn(serve(socket, remote, None, sender));
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
    async fn a_socket_that_is_closed_gets_20_seconds_for_all_that_waits() {
        let mut served = Served::new(Some(Duration::from_secs(15)), true, true).await;
        assert!((0..9).all(|n| served.send(vec![n])));
        served.outbound.as_ref().unwrap().close();
        let began = Instant::now();
        let event = served.events.recv().await;
        assert!(matches!(event, Some(Event::Closed(_))));
        let took = began.elapsed();
        assert!((CLOSING_DEADLINE..CLOSING_DEADLINE + Duration::from_millis(5)).contains(&took));
        assert_eq!(served.taken.recv().await, Some(vec![0]));
        assert_eq!(served.taken.recv().await, None);
    }

    /// Without a bound of ours the library keeps an answer to every ping, and nothing else ends such a connection soon.
    #[tokio::test]
    async fn answers_to_pings_that_nobody_reads_do_not_pile_up() {
        const PINGS: usize = 10_000;
        const FLUSHED: usize = 1 << 10;
        let (theirs, ours) = tokio::io::duplex(FLUSHED);
        let config = WebSocketConfig::default()
            .write_buffer_size(FLUSHED)
            .max_write_buffer_size(max_write_buffer(FLUSHED));
        let mut socket = WebSocketStream::from_raw_socket(ours, Role::Server, Some(config)).await;
        let (mut answers, mut theirs) = tokio::io::split(theirs);
        let mut pings = Vec::new();
        for _ in 0..PINGS {
            // A masked ping of 125 bytes, with a mask of zeros (RFC 6455 §5.2).
            pings.extend_from_slice(&[0x89, 0x80 | 125, 0, 0, 0, 0]);
            pings.extend_from_slice(&[7; 125]);
        }
        let writing = tokio::spawn(async move { theirs.write_all(&pings).await });
        for _ in 0..PINGS {
            let ping = socket.next().await.unwrap().unwrap();
            assert!(ping.is_ping(), "they are read all the same");
        }
        writing.await.unwrap().unwrap();
        let flushing = tokio::spawn(async move { socket.flush().await });
        let mut held = Vec::new();
        // The socket is gone when all that it held was read.
        answers.read_to_end(&mut held).await.unwrap();
        flushing.await.unwrap().unwrap();
        let most = max_write_buffer(FLUSHED) + 2 * FLUSHED;
        assert!((1..=most).contains(&held.len()), "{}", held.len());
    }

    #[test]
    fn long_frames_go_in_fragments() {
        for (length, count) in [(0, 1), (1, 1), (MAX_MESSAGE, 1), (MAX_MESSAGE + 1, 2)] {
            let frame: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let parts: Vec<_> = fragments(frame.clone()).collect();
            assert_eq!(parts.len(), count);
            assert_eq!(
                parts.iter().map(|(_, length)| length).sum::<usize>(),
                length
            );
            let parts = parts.into_iter().map(|(message, _)| message.into_data());
            assert_eq!(parts.collect::<Vec<_>>().concat(), frame);
        }
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
