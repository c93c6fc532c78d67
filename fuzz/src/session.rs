//! Session messages and sessions at rest.

use zentalk_shared::session::{SessionMessage, SessionRecord};

pub(crate) fn message(data: &[u8]) {
    if let Ok(message) = SessionMessage::decode(data) {
        assert_eq!(SessionMessage::decode(&message.encode()), Ok(message));
    }
}

pub(crate) fn record(data: &[u8]) {
    if let Ok(record) = SessionRecord::decode(data) {
        let bytes = record.encode();
        let again = SessionRecord::decode(&bytes).map(|record| record.encode());
        assert_eq!(again.ok(), Some(bytes));
    }
}
