//! From what the engine shows to what crosses the border.

use zentalk_shared::client::view;
use zentalk_shared::identity;
use zentalk_shared::time::Timestamp;

use super::{
    Connection, Contact, Conversation, Cover, Cursor, Direction, FailReason, Me, Message,
    MessagePage, MessageState, Mixing, Network, NoticeKind, Onion, OnionSuite, Origin,
    PrivacyWarning, SafetyComparison, SafetyNumber, Verification, WaitReason,
};

/// What a profile needs beside itself: where the application runs.
#[derive(Clone, Debug)]
pub struct MeContext {
    /// Origin of the page, for example `https://zentalk.example`.
    pub origin: String,
}

impl Me {
    /// My profile with its link.
    pub fn new(me: &view::Me, context: &MeContext) -> Self {
        Self {
            address: me.address.to_string(),
            link: format!("{}/#add/{}", context.origin, me.code),
            qr: me.code.to_ascii_uppercase(),
            code: me.code.clone(),
            name: me.name.clone(),
            created_at: me.created.as_ms(),
        }
    }
}

impl From<view::ContactView> for Contact {
    fn from(contact: view::ContactView) -> Self {
        Self {
            address: contact.address.to_string(),
            code: contact.code,
            name: contact.name,
            added_at: contact.added.as_ms(),
            origin: match contact.origin {
                view::Origin::Added => Origin::Added,
                view::Origin::Incoming => Origin::Incoming,
            },
            verification: match contact.verification {
                view::Verification::Unverified => Verification::Unverified,
                view::Verification::Verified => Verification::Verified,
                view::Verification::Changed => Verification::Changed,
            },
        }
    }
}

impl From<view::ConversationView> for Conversation {
    fn from(conversation: view::ConversationView) -> Self {
        Self {
            contact: conversation.contact.into(),
            last_message: conversation.last.map(Message::from),
            unread: conversation.unread,
        }
    }
}

impl From<view::MessageView> for Message {
    fn from(message: view::MessageView) -> Self {
        let since = match message.direction {
            view::Direction::Notice(view::Notice::DevicesUnconfirmed { since }) => {
                Some(since.as_ms())
            }
            _ => None,
        };
        let (direction, state, notice) = match message.direction {
            view::Direction::In => (Direction::In, None, None),
            view::Direction::Out(state) => (Direction::Out, Some(state.into()), None),
            view::Direction::Notice(notice) => (Direction::Notice, None, Some(notice.into())),
        };
        Self {
            id: message.id.to_string(),
            address: message.address.to_string(),
            direction,
            text: message.text,
            sent_at: message.sent.as_ms(),
            ordered_at: message.order,
            state,
            notice,
            since,
        }
    }
}

impl From<view::Notice> for NoticeKind {
    fn from(notice: view::Notice) -> Self {
        match notice {
            view::Notice::SessionRenewed => Self::SessionRenewed,
            view::Notice::KeysChanged => Self::KeysChanged,
            view::Notice::DevicesUnconfirmed { .. } => Self::DevicesUnconfirmed,
        }
    }
}

impl From<identity::SafetyNumber> for SafetyNumber {
    fn from(number: identity::SafetyNumber) -> Self {
        Self {
            digits: number.digits(),
            qr: number.qr_text(),
        }
    }
}

impl From<Result<identity::Comparison, identity::ScanError>> for SafetyComparison {
    fn from(result: Result<identity::Comparison, identity::ScanError>) -> Self {
        match result {
            Ok(identity::Comparison::Match) => Self::Match,
            Ok(identity::Comparison::Different) => Self::Different,
            Err(identity::ScanError::NotASafetyNumber) => Self::NotASafetyNumber,
            Err(identity::ScanError::OtherVersion(_)) => Self::OtherVersion,
        }
    }
}

impl From<view::MessageState> for MessageState {
    fn from(state: view::MessageState) -> Self {
        match state {
            view::MessageState::Sending(reason) => Self::Sending {
                reason: reason.map(WaitReason::from),
            },
            view::MessageState::Sent { held, of } => Self::Sent { held, of },
            view::MessageState::Delivered(at) => Self::Delivered { at: at.as_ms() },
            view::MessageState::Read(at) => Self::Read { at: at.as_ms() },
            view::MessageState::Failed(reason) => Self::Failed {
                reason: reason.into(),
            },
        }
    }
}

impl From<view::WaitReason> for WaitReason {
    fn from(reason: view::WaitReason) -> Self {
        match reason {
            view::WaitReason::Offline => Self::Offline,
            view::WaitReason::OnionBelowFloor => Self::OnionBelowFloor,
            view::WaitReason::LookingUpContact => Self::LookingUpContact,
            view::WaitReason::ContactNotFound => Self::ContactNotFound,
            view::WaitReason::WaitingForRelays => Self::WaitingForRelays,
            view::WaitReason::Preparing => Self::Preparing,
            view::WaitReason::Retrying => Self::Retrying,
            view::WaitReason::KeysChanged => Self::KeysChanged,
        }
    }
}

impl From<view::FailReason> for FailReason {
    fn from(reason: view::FailReason) -> Self {
        match reason {
            view::FailReason::ContactNotFound => Self::ContactNotFound,
            view::FailReason::Expired => Self::Expired,
            view::FailReason::ContactKeysInvalid => Self::ContactKeysInvalid,
        }
    }
}

impl From<view::MessagePage> for MessagePage {
    fn from(page: view::MessagePage) -> Self {
        let messages: Vec<Message> = page.messages.into_iter().map(Message::from).collect();
        let id = messages.first().map(|first| first.id.clone());
        Self {
            before: page.before.map(|ordered_at| Cursor {
                ordered_at,
                id: id.unwrap_or_default(),
            }),
            messages,
        }
    }
}

impl From<view::Connection> for Connection {
    fn from(connection: view::Connection) -> Self {
        match connection {
            view::Connection::Offline => Self::Offline,
            view::Connection::Connecting { attempt, retry } => Self::Connecting {
                attempt,
                retry_at: retry.map(Timestamp::as_ms),
            },
            view::Connection::Online { since, receiving } => Self::Online {
                since: since.as_ms(),
                receiving,
            },
        }
    }
}

impl From<view::Mixing> for Cover {
    fn from(view::Mixing { mode, loops }: view::Mixing) -> Self {
        let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            mixing: Mixing(mode),
            sent: count(loops.sent),
            returned: count(loops.returned),
            lost: count(loops.lost),
        }
    }
}

impl From<view::Network> for Network {
    fn from(network: view::Network) -> Self {
        Self {
            relays: network.relays,
            hops: network.hops,
            privacy_warning: network.warning.map(|warning| match warning {
                view::PrivacyWarning::FewRelays => PrivacyWarning::FewRelays,
                view::PrivacyWarning::OneRelay => PrivacyWarning::OneRelay,
            }),
            onion: match network.onion {
                view::Onion::InUse { suite, weaker } => Onion::InUse {
                    suite: OnionSuite(suite),
                    weaker,
                },
                view::Onion::BelowFloor { floor } => Onion::BelowFloor {
                    floor: OnionSuite(floor),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zentalk_shared::id::{Address, MessageId};

    fn message() -> view::MessageView {
        view::MessageView {
            id: MessageId::from_bytes([0xab; 16]),
            address: Address::from_bytes([1; 32]),
            direction: view::Direction::Out(view::MessageState::Sent { held: 2, of: 3 }),
            text: "hello".into(),
            sent: Timestamp::from_ms(5),
            order: 9,
        }
    }

    #[test]
    fn a_message_has_hex_ids_and_a_tagged_state() {
        let json = serde_json::to_value(Message::from(message())).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": "ab".repeat(16), "address": "01".repeat(32), "direction": "out",
                "text": "hello", "sentAt": 5, "orderedAt": 9,
                "state": { "kind": "sent", "held": 2, "of": 3 },
            })
        );
    }

    #[test]
    fn an_incoming_message_has_no_state() {
        let json = serde_json::to_value(Message::from(view::MessageView {
            direction: view::Direction::In,
            ..message()
        }))
        .unwrap();
        assert_eq!(json["direction"], "in");
        assert_eq!(json.get("state"), None);
    }

    #[test]
    fn a_notice_says_what_happened() {
        for (notice, name) in [
            (view::Notice::SessionRenewed, "sessionRenewed"),
            (view::Notice::KeysChanged, "keysChanged"),
            (
                view::Notice::DevicesUnconfirmed {
                    since: Timestamp::from_ms(7),
                },
                "devicesUnconfirmed",
            ),
        ] {
            let direction = view::Direction::Notice(notice);
            let view = view::MessageView {
                direction,
                ..message()
            };
            let json = serde_json::to_value(Message::from(view)).unwrap();
            assert_eq!(
                (&json["direction"], &json["notice"]),
                (&"notice".into(), &name.into())
            );
        }
    }

    #[test]
    fn a_comparison_is_one_of_four_words() {
        use identity::{Comparison, ScanError};
        for (result, word) in [
            (Ok(Comparison::Match), "match"),
            (Ok(Comparison::Different), "different"),
            (Err(ScanError::NotASafetyNumber), "notASafetyNumber"),
            (Err(ScanError::OtherVersion(2)), "otherVersion"),
        ] {
            let json = serde_json::to_value(SafetyComparison::from(result)).unwrap();
            assert_eq!(json, word);
        }
    }

    #[test]
    fn a_page_points_above_its_oldest_message() {
        let page = MessagePage::from(view::MessagePage {
            messages: vec![message()],
            before: Some(9),
        });
        let before = page.before.unwrap();
        assert_eq!((before.ordered_at, before.id), (9, "ab".repeat(16)));
    }

    #[test]
    fn my_link_and_qr_come_from_my_code() {
        let me = view::Me {
            address: Address::from_bytes([2; 32]),
            code: "zen1abc".into(),
            name: "Ada".into(),
            created: Timestamp::from_ms(1),
        };
        let context = MeContext {
            origin: "https://zentalk.example".into(),
        };
        let me = Me::new(&me, &context);
        assert_eq!(me.link, "https://zentalk.example/#add/zen1abc");
        assert_eq!(me.qr, "ZEN1ABC");
    }
}
