//! Requests to relays and their replies.

use zentalk_shared::onion::Class;
use zentalk_shared::rpc::{Reply, Request};

pub(crate) fn messages(data: &[u8]) {
    if let Ok((id, request)) = Request::decode(data)
        && let Ok(bytes) = request.encode(id, Class::Bulk)
    {
        assert_eq!(Request::decode(&bytes), Ok((id, request)));
    }
    if let Ok((id, reply)) = Reply::decode(data)
        && let Ok(bytes) = reply.encode(id, Class::Bulk)
    {
        assert_eq!(Reply::decode(&bytes), Ok((id, reply)));
    }
}
