//! What people send each other.

use zentalk_shared::content::Content;

pub(crate) fn content(data: &[u8]) {
    if let Ok((id, content)) = Content::decode(data) {
        assert_eq!(Content::decode(&content.encode(id)), Ok((id, content)));
    }
}
