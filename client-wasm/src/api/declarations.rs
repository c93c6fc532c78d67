//! `js/generated.ts` is written from the types of [`crate::api`]; run
//! `ZENTALK_WRITE_TYPES=1 cargo test -p zentalk-client-wasm declarations` to write it anew.

use tsify::Tsify;

use super::*;

const PREAMBLE: &str = "\
// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Written from client-wasm/src/api.rs by its tests; do not edit. To write it anew:
//     ZENTALK_WRITE_TYPES=1 cargo test -p zentalk-client-wasm declarations
// Times are milliseconds since 1970-01-01 UTC; addresses are 64 lower-case hex digits, ids 32.
";

fn declarations() -> String {
    let all = [
        Me::DECL,
        Origin::DECL,
        Verification::DECL,
        SafetyNumber::DECL,
        SafetyComparison::DECL,
        Contact::DECL,
        Conversation::DECL,
        WaitReason::DECL,
        FailReason::DECL,
        MessageState::DECL,
        Direction::DECL,
        NoticeKind::DECL,
        Message::DECL,
        Cursor::DECL,
        MessagePage::DECL,
        Connection::DECL,
        PrivacyWarning::DECL,
        Onion::DECL,
        Network::DECL,
        Mixing::DECL,
        Cover::DECL,
        State::DECL,
        CreatingStep::DECL,
        StorageFailure::DECL,
        ZenTalkEvent::DECL,
        ErrorCode::DECL,
        ApiError::DECL,
        Request::DECL,
        Answer::DECL,
        HostOptions::DECL,
        OnionSuite::DECL,
        HostNotice::DECL,
    ];
    all.iter().fold(PREAMBLE.to_owned(), |text, declaration| {
        format!("{text}\n{declaration}\n")
    })
}

#[test]
fn typescript_declarations_are_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/js/generated.ts");
    if std::env::var_os("ZENTALK_WRITE_TYPES").is_some() {
        std::fs::write(path, declarations()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == declarations(),
        "js/generated.ts differs from src/api.rs; write it anew as its head says"
    );
}
