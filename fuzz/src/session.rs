//! Session messages, their fragments, and both at rest.

use zentalk_shared::session::{Fragment, Inserted, Reassembly, SessionMessage, SessionRecord};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::budget::FRAGMENT_LEN;

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

/// A fragment, its input continued with zeros; alone, and taken in twice.
pub(crate) fn fragment(data: &[u8]) {
    let mut bytes = [0; FRAGMENT_LEN];
    bytes
        .iter_mut()
        .zip(data)
        .for_each(|(to, from)| *to = *from);
    let Ok(fragment) = Fragment::decode(&bytes) else {
        return;
    };
    assert_eq!(*fragment.encode(), bytes);
    let mut state = Reassembly::default();
    match state.insert(fragment.clone(), Timestamp::EPOCH) {
        Inserted::Complete { message, delete } => {
            assert_eq!((message.as_slice(), delete.len()), (fragment.data(), 0));
        }
        Inserted::Kept { row, .. } => {
            assert_eq!(
                state.insert(fragment, Timestamp::EPOCH),
                Inserted::Duplicate
            );
            assert_eq!(
                Reassembly::restore([row.as_slice()]).map(|state| state.len()),
                Ok(1)
            );
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn fragment_row(data: &[u8]) {
    if let Ok(state) = Reassembly::restore([data]) {
        assert_eq!(state.len(), 1);
    }
}
