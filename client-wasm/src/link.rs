//! WebSockets: one per link of the engine, binary frames only, everything bounded.
//!
//! A browser's WebSocket has no back pressure in either direction. So a link is closed when more than
//! [`MAX_UNSENT`] bytes wait to leave (the peer does not read) or when more than [`MAX_UNREAD`] wait for the
//! engine (the peer floods); the engine then opens another, as after any other failure.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, MessageEvent, WebSocket};
use zentalk_shared::client::LinkId;
use zentalk_shared::wire::Tag;
use zentalk_shared::wire::budget::HEADER_LEN;

/// The longest frame of any type.
pub const MAX_FRAME: usize = {
    let mut longest = 0;
    let mut tags = Tag::ALL;
    while let [tag, rest @ ..] = tags {
        if tag.max_payload() > longest {
            longest = tag.max_payload();
        }
        tags = rest;
    }
    HEADER_LEN + longest
};

/// Bytes that may wait to leave.
pub const MAX_UNSENT: u32 = 4 << 20;

/// Bytes that may wait for the engine.
pub const MAX_UNREAD: usize = 8 << 20;

/// What happened to a link. After `Closed` nothing more comes from it.
#[derive(Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is open.
    Opened(LinkId),
    /// It is closed, or could not be opened.
    Closed(LinkId),
    /// A frame has arrived.
    Frame(LinkId, Vec<u8>),
}

type Sink = Rc<dyn Fn(LinkEvent)>;

/// All links of one engine. Dropping it closes them silently.
pub struct Links {
    links: HashMap<LinkId, Link>,
    sink: Sink,
    /// Bytes of frames that were handed to the sink and not yet taken by the engine.
    unread: Rc<Cell<usize>>,
}

struct Link {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut()>,
}

impl Links {
    /// No links yet; `sink` is told what happens.
    pub fn new(sink: impl Fn(LinkEvent) + 'static) -> Self {
        Self {
            links: HashMap::new(),
            sink: Rc::new(sink),
            unread: Rc::default(),
        }
    }

    /// Opens a link. Failure is reported like a link that closes.
    pub fn open(&mut self, id: LinkId, url: &str) {
        let socket = if is_allowed(url) {
            WebSocket::new(url).ok()
        } else {
            None
        };
        match socket {
            Some(socket) => {
                let link = Link::new(id, socket, &self.sink, &self.unread);
                self.links.insert(id, link);
            }
            None => (self.sink)(LinkEvent::Closed(id)),
        }
    }

    /// Sends one frame. A link that cannot take it is closed, and that is reported.
    pub fn send(&mut self, id: LinkId, frame: &[u8]) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let unsent = link.socket.buffered_amount();
        if unsent > MAX_UNSENT || link.socket.send_with_u8_array(frame).is_err() {
            self.close(id);
            (self.sink)(LinkEvent::Closed(id));
        }
    }

    /// Closes a link; nothing is reported.
    pub fn close(&mut self, id: LinkId) {
        self.links.remove(&id);
    }

    /// To be called when the engine has taken a frame of `length` bytes.
    pub fn taken(&self, length: usize) {
        self.unread.set(self.unread.get().saturating_sub(length));
    }

    /// To be called when the engine has taken [`LinkEvent::Closed`].
    pub fn forget(&mut self, id: LinkId) {
        self.links.remove(&id);
    }
}

impl Link {
    fn new(id: LinkId, socket: WebSocket, sink: &Sink, unread: &Rc<Cell<usize>>) -> Self {
        socket.set_binary_type(BinaryType::Arraybuffer);
        // Both a fault found here and the socket's own end are reported once, whichever is first.
        let closed = Rc::new(Cell::new(false));
        let close = {
            let sink = Rc::clone(sink);
            Rc::new(move || {
                if !closed.replace(true) {
                    sink(LinkEvent::Closed(id));
                }
            })
        };
        let on_open = {
            let sink = Rc::clone(sink);
            Closure::new(move || sink(LinkEvent::Opened(id)))
        };
        let on_close = {
            let close = Rc::clone(&close);
            Closure::new(move || close())
        };
        let on_message = {
            let (socket, sink, unread) = (socket.clone(), Rc::clone(sink), Rc::clone(unread));
            Closure::new(
                move |event: MessageEvent| match read_frame(&event, &unread) {
                    Some(frame) => {
                        unread.set(unread.get() + frame.len());
                        sink(LinkEvent::Frame(id, frame));
                    }
                    None => {
                        silence(&socket);
                        close();
                    }
                },
            )
        };
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        // An error is always followed by a close.
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Self {
            socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        silence(&self.socket);
    }
}

/// Closes a socket whose events nobody wants any more.
fn silence(socket: &WebSocket) {
    socket.set_onopen(None);
    socket.set_onmessage(None);
    socket.set_onclose(None);
    let _ = socket.close();
}

/// The frame of an event; `None` for text, for what is too long, and for a flood.
fn read_frame(event: &MessageEvent, unread: &Cell<usize>) -> Option<Vec<u8>> {
    let buffer = event.data().dyn_into::<ArrayBuffer>().ok()?;
    let length = usize::try_from(buffer.byte_length()).ok()?;
    if length > MAX_FRAME || unread.get().saturating_add(length) > MAX_UNREAD {
        return None;
    }
    Some(Uint8Array::new(&buffer).to_vec())
}

/// Relays are reached over TLS; in development also on this machine without it.
pub fn is_allowed(url: &str) -> bool {
    if url.starts_with("wss://") {
        return true;
    }
    let Some(rest) = url.strip_prefix("ws://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    };
    matches!(host, Some("127.0.0.1" | "localhost" | "::1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_allowed() {
        for url in [
            "wss://relay.example/v1",
            "ws://127.0.0.1:9001/v1",
            "ws://localhost/v1",
            "ws://[::1]:9/v1",
        ] {
            assert!(is_allowed(url), "{url}");
        }
        for url in [
            "ws://relay.example/v1",
            "ws://127.0.0.1@evil.example/",
            "ws://127.0.0.1.evil.example/",
            "ws://localhost:1@evil.example/",
            "http://localhost/",
            "ws://",
            "",
        ] {
            assert!(!is_allowed(url), "{url}");
        }
    }
}

#[cfg(all(test, target_arch = "wasm32"))]
mod browser_tests {
    use super::*;
    use futures_channel::mpsc;
    use futures_util::StreamExt;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn links() -> (Links, mpsc::UnboundedReceiver<LinkEvent>) {
        let (sender, receiver) = mpsc::unbounded();
        let links = Links::new(move |event| {
            let _ = sender.unbounded_send(event);
        });
        (links, receiver)
    }

    #[wasm_bindgen_test]
    async fn a_link_that_cannot_be_opened_is_reported_closed_once() {
        let (mut links, mut events) = links();
        // Nothing listens on the discard port, and browsers refuse it anyway.
        links.open(LinkId(1), "ws://127.0.0.1:9/v1");
        assert_eq!(events.next().await, Some(LinkEvent::Closed(LinkId(1))));
        links.open(LinkId(2), "ws://relay.example/v1");
        assert_eq!(events.next().await, Some(LinkEvent::Closed(LinkId(2))));
        assert!(events.try_recv().is_err(), "nothing more");
    }

    #[wasm_bindgen_test]
    async fn a_link_that_was_closed_here_reports_nothing() {
        let (mut links, mut events) = links();
        links.open(LinkId(1), "ws://127.0.0.1:9/v1");
        links.close(LinkId(1));
        links.send(LinkId(1), b"frame");
        gloo_timers::future::TimeoutFuture::new(50).await;
        assert!(events.try_recv().is_err());
    }

    fn message(data: &JsValue) -> MessageEvent {
        let init = web_sys::MessageEventInit::new();
        init.set_data(data);
        MessageEvent::new_with_event_init_dict("message", &init).unwrap()
    }

    #[wasm_bindgen_test]
    fn text_long_frames_and_floods_are_refused() {
        let unread = Cell::new(0);
        let buffer = |length: usize| JsValue::from(ArrayBuffer::new(length as u32));
        let read = |data: &JsValue| read_frame(&message(data), &unread).map(|frame| frame.len());
        assert_eq!(read(&buffer(40)), Some(40));
        assert_eq!(read(&buffer(MAX_FRAME)), Some(MAX_FRAME));
        assert_eq!(read(&buffer(MAX_FRAME + 1)), None);
        assert_eq!(read(&JsValue::from_str("text")), None);
        unread.set(MAX_UNREAD - 39);
        assert_eq!(read(&buffer(40)), None);
    }
}
