//! How much a relay that was dialed may send before its next message is whole.
//!
//! Only a directory is longer than a packet, and only as the answer to a question. It comes in fragments (RFC 6455 §5.4),
//! so that no buffer stays as long as it was. A WebSocket's bound for a whole message is set for good when it opens,
//! so this counts below it: a peer that goes on with a long message nobody asked for is hung up on.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use zentalk_shared::wire::budget::MAX_PACKET_LEN;
use zentalk_shared::wire::{HEADER_LEN, Tag};

use crate::core::DIRECTORY_DEADLINE;

/// The longest message that may come at any time, and the longest fragment.
pub(super) const MAX_MESSAGE: usize = HEADER_LEN + MAX_PACKET_LEN;
/// The longest that may come as an answer.
pub(super) const MAX_LONG_MESSAGE: usize = HEADER_LEN + Tag::Directory.max_payload();
/// Beside a message: what was read ahead, the handshakes of TLS and HTTP, and what fragments and records add.
const SLACK: usize = 128 << 10;
const LONG_SLACK: usize = SLACK + MAX_LONG_MESSAGE / 16;
/// A long message is waited for this long.
const LONG_MESSAGE_DEADLINE: Duration = Duration::from_millis(DIRECTORY_DEADLINE.as_ms());

/// What one peer may send, between its socket and who expects its messages.
#[derive(Default)]
pub(super) struct Allowance(Mutex<State>);

#[derive(Default)]
struct State {
    /// Bytes since the last whole message.
    read: usize,
    /// Until when a long message may come.
    long_until: Option<Instant>,
}

impl Allowance {
    /// One long message may come.
    pub(super) fn expect_long_message(&self) {
        self.state().long_until = Some(Instant::now() + LONG_MESSAGE_DEADLINE);
    }

    /// None is waited for any more. True: one is under way.
    pub(super) fn expect_no_long_message(&self) -> bool {
        let mut state = self.state();
        state.long_until = None;
        state.read > MAX_MESSAGE + SLACK
    }

    /// A message is whole.
    pub(super) fn message_has_come(&self, length: usize) {
        let mut state = self.state();
        state.read = 0;
        if length > MAX_MESSAGE {
            state.long_until = None;
        }
    }

    /// False: that is too much.
    fn take(&self, bytes: usize) -> bool {
        let mut state = self.state();
        state.read = state.read.saturating_add(bytes);
        let is_long = || state.long_until.is_some_and(|until| Instant::now() < until);
        state.read <= MAX_MESSAGE + SLACK
            || (state.read <= MAX_LONG_MESSAGE + LONG_SLACK && is_long())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket whose peer has an allowance.
pub(super) struct Metered<S> {
    socket: S,
    allowance: Arc<Allowance>,
}

impl<S> Metered<S> {
    pub(super) const fn new(socket: S, allowance: Arc<Allowance>) -> Self {
        Self { socket, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, into))?;
        let read = into.filled().len() - before;
        Poll::Ready(match self.allowance.take(read) {
            true => Ok(()),
            false => Err(io::Error::other("a longer message than was asked for")),
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_fragment_is_what_the_protocol_says() {
        let said = format!("longer than {MAX_MESSAGE} bytes");
        assert!(include_str!("../../../docs/PROTOCOL.md").contains(&said));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_message_may_come_once_and_only_when_it_is_expected() {
        let allowance = Allowance::default();
        let takes = |bytes| allowance.take(bytes);
        for _ in 0..1000 {
            assert!(takes(MAX_MESSAGE), "one after the other");
            allowance.message_has_come(MAX_MESSAGE);
        }
        assert!(!takes(MAX_MESSAGE + SLACK + 1));

        allowance.message_has_come(1);
        allowance.expect_long_message();
        assert!(takes(10));
        allowance.message_has_come(10);
        assert!(takes(MAX_LONG_MESSAGE), "others may come before it");
        assert!(allowance.expect_no_long_message(), "it is under way");
        allowance.expect_long_message();
        allowance.message_has_come(MAX_LONG_MESSAGE);
        assert!(!takes(MAX_LONG_MESSAGE), "once");

        allowance.message_has_come(1);
        allowance.expect_long_message();
        assert!(!takes(MAX_LONG_MESSAGE + LONG_SLACK + 1));
        allowance.message_has_come(1);
        assert!(!allowance.expect_no_long_message(), "none is under way");
        assert!(!takes(MAX_LONG_MESSAGE), "another one was asked");
        allowance.message_has_come(1);
        allowance.expect_long_message();
        tokio::time::advance(LONG_MESSAGE_DEADLINE).await;
        assert!(!takes(MAX_LONG_MESSAGE), "in time");
    }
}
