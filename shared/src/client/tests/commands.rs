//! The engine's commands on a store, without a network.

use super::*;
use crate::client::view::{Direction, MessageState, Origin, WaitReason};
use crate::client::{Command, CommandError, NewAccountError, Query, RestoreError};
use crate::id::{Address, MessageId};
use crate::identity::ContactCode;
use crate::time::Duration;

const ID: MessageId = MessageId::from_bytes([7; 16]);

fn code_of(host: &Host) -> ContactCode {
    ContactCode::parse(&host.client.me().code).unwrap()
}

fn send(address: Address, id: MessageId, text: &str) -> Input {
    Input::Command(Command::Send {
        address,
        id,
        text: text.into(),
    })
}

/// Two people, the first of whom has added the second.
fn pair() -> (Host, Address) {
    let (mut ada, bob) = (Host::new(0), Host::new(1));
    let code = code_of(&bob);
    ada.turn(
        Input::Command(Command::AddContact {
            code,
            name: Some("Bob".into()),
        }),
        NOW,
    );
    (ada, code.address)
}

#[test]
fn an_account_is_made_in_two_signatures_and_survives_a_restart() {
    let mut host = Host::new(0);
    let me = host.client.me();
    assert_eq!(me.name, "Ada");
    assert_eq!(ContactCode::parse(&me.code).unwrap().address, me.address);
    host.restart();
    assert_eq!(host.client.me(), me);
}

#[test]
fn an_account_with_a_foreign_signature_is_not_made() {
    let mut rng = rng(1);
    let (mine, other) = (account_rsa(0), account_rsa(1));
    let begin = |rng: &mut ChaCha20Rng| {
        NewAccount::begin(
            mine.public().spki_der(),
            mine.to_pkcs8_der().unwrap(),
            "Ada",
            NOW,
            rng,
        )
        .unwrap()
    };
    let account = begin(&mut rng);
    let foreign = other.sign_framed(&account.to_sign(), &mut rng).unwrap();
    assert_eq!(
        account.certified(foreign.as_ref(), &mut rng).unwrap_err(),
        NewAccountError::Signature
    );
    let account = begin(&mut rng);
    assert_eq!(
        account.certified(&[0; 511], &mut rng).unwrap_err(),
        NewAccountError::Signature
    );
    let spki = [0u8; 550];
    let error =
        NewAccount::begin(&spki, mine.to_pkcs8_der().unwrap(), "Ada", NOW, &mut rng).unwrap_err();
    assert_eq!(error, NewAccountError::Key);
    let nobody = NewAccount::begin(
        mine.public().spki_der(),
        mine.to_pkcs8_der().unwrap(),
        " \u{200b}",
        NOW,
        &mut rng,
    );
    assert_eq!(nobody.unwrap_err(), NewAccountError::Name);
}

#[test]
fn an_empty_store_has_no_identity_and_a_torn_one_is_refused() {
    let mut rng = rng(1);
    assert!(
        Client::restore(config(), Vec::new(), NOW, &mut rng)
            .unwrap()
            .is_none()
    );
    let rows = new_rows(0, &mut rng);
    for missing in rows.keys() {
        let kept: Vec<Row> = rows
            .values()
            .filter(|row| row.key != *missing)
            .cloned()
            .collect();
        match Client::restore(config(), kept, NOW, &mut rng) {
            Ok(None) => assert_eq!(missing.id, b"account"),
            Ok(Some(_)) => assert_eq!(missing.id, b"secrets", "only prekeys are made anew"),
            Err(error) => assert_eq!(error, RestoreError::Incomplete),
        }
    }
}

#[test]
fn commands_say_what_is_wrong_with_them() {
    let (ada, bob) = pair();
    let check = |command| ada.client.check(&command);
    let own = Command::AddContact {
        code: code_of(&ada),
        name: None,
    };
    assert_eq!(check(own), Err(CommandError::OwnCode));
    let text = |text: String| Command::Send {
        address: bob,
        id: ID,
        text,
    };
    assert_eq!(check(text(" \n".into())), Err(CommandError::EmptyText));
    assert_eq!(
        check(text("x".repeat(16_385))),
        Err(CommandError::TextTooLong(16_385))
    );
    assert_eq!(check(text("x".repeat(16_384))), Ok(()));
    let stranger = Address::from_bytes([9; 32]);
    assert_eq!(
        check(Command::MarkRead { address: stranger }),
        Err(CommandError::UnknownContact)
    );
    assert_eq!(
        check(Command::Rename {
            name: "x".repeat(65)
        }),
        Err(CommandError::Name)
    );
}

#[test]
fn a_contact_is_added_once_and_shows_its_name_and_code() {
    let (mut ada, bob) = pair();
    let [contact] = &ada.client.contacts()[..] else {
        panic!("one contact")
    };
    assert_eq!(
        (contact.name.as_str(), contact.origin),
        ("Bob", Origin::Added)
    );
    let code = ContactCode::parse(contact.code.as_ref().unwrap()).unwrap();
    assert_eq!(code.address, bob);
    ada.turn(
        Input::Command(Command::AddContact { code, name: None }),
        NOW,
    );
    assert_eq!(ada.client.contacts().len(), 1);
    assert_eq!(
        ada.client.contacts()[0].name,
        "Bob",
        "a name is not lost by adding again"
    );
    ada.turn(
        Input::Command(Command::RenameContact {
            address: bob,
            name: "Robert".into(),
        }),
        NOW,
    );
    ada.restart();
    assert_eq!(ada.client.contacts()[0].name, "Robert");
}

#[test]
fn a_text_waits_with_its_reason_and_is_there_after_a_restart() {
    let (mut ada, bob) = pair();
    let shown = events(ada.turn(send(bob, ID, "hello"), NOW));
    let reason = |event: &Event| match event {
        Event::Message(view) => Some(view.direction),
        _ => None,
    };
    let waiting = Direction::Out(MessageState::Sending(Some(WaitReason::Offline)));
    assert_eq!(shown.iter().find_map(reason), Some(waiting));
    ada.restart();
    let query = Query::Messages {
        address: bob,
        before: None,
        limit: 10,
    };
    let page = ada.client.messages(&ada.scan(&query.scan()), 10);
    let [message] = &page.messages[..] else {
        panic!("one message")
    };
    assert_eq!(
        (message.text.as_str(), message.direction),
        ("hello", waiting)
    );
    let list = ada
        .client
        .conversations(&ada.scan(&Query::Conversations.scan()));
    assert_eq!(list[0].last.as_ref(), Some(message));
}

#[test]
fn the_same_command_again_sends_once() {
    let (mut ada, bob) = pair();
    ada.turn(send(bob, ID, "hello"), NOW);
    let rows = ada.rows.clone();
    let shown = events(ada.turn(
        send(bob, ID, "hello"),
        NOW.saturating_add(Duration::from_secs(1)),
    ));
    assert_eq!(ada.rows, rows, "nothing more is written");
    assert!(
        shown.iter().any(|event| matches!(event, Event::Message(_))),
        "it is shown what became of it"
    );
}

#[test]
fn a_turn_that_is_not_committed_has_not_been() {
    let (mut ada, bob) = pair();
    let rows = ada.rows.clone();
    let batch = ada.uncommitted(send(bob, ID, "hello"), NOW);
    assert!(!batch.writes.is_empty());
    ada.restart();
    assert_eq!(ada.rows, rows);
    let query = Query::Messages {
        address: bob,
        before: None,
        limit: 10,
    };
    assert!(
        ada.client
            .messages(&ada.scan(&query.scan()), 10)
            .messages
            .is_empty()
    );
    assert!(
        !ada.turn(send(bob, ID, "hello"), NOW).is_empty(),
        "and can be asked for again"
    );
}

#[test]
fn texts_of_one_moment_keep_their_order_and_pages_meet() {
    let (mut ada, bob) = pair();
    for index in 0..25u8 {
        ada.turn(
            send(bob, MessageId::from_bytes([index; 16]), &format!("{index}")),
            NOW,
        );
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let query = Query::Messages {
            address: bob,
            before,
            limit: 10,
        };
        let page = ada.client.messages(&ada.scan(&query.scan()), 10);
        let texts: Vec<String> = page.messages.into_iter().map(|view| view.text).collect();
        seen.splice(0..0, texts);
        before = page.before;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(
        seen,
        (0..25).map(|index| index.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_week_without_a_relay_fails_the_message_and_it_can_be_tried_again() {
    let (mut ada, bob) = pair();
    ada.turn(send(bob, ID, "hello"), NOW);
    let later = NOW.saturating_add(Duration::from_days(8));
    let failed = |event: &Event| match event {
        Event::Message(view) => matches!(view.direction, Direction::Out(MessageState::Failed(_))),
        _ => false,
    };
    assert!(events(ada.turn(Input::Timer, later)).iter().any(failed));
    let outbox = |host: &Host| {
        host.rows
            .keys()
            .filter(|key| key.table == crate::client::store::Table::Outbox)
            .count()
    };
    assert_eq!(outbox(&ada), 0);
    ada.turn(
        Input::Command(Command::Retry {
            address: bob,
            id: ID,
        }),
        later,
    );
    assert_eq!(outbox(&ada), 1);
}

#[test]
fn who_wrote_first_is_a_contact_like_any_other_once_answered_or_named() {
    let stranger = |number: u8| Address::from_bytes([number; 32]);
    let mut ada = Host::new(0);
    for number in [1, 2] {
        ada.client.contacts.add(stranger(number), true, NOW);
    }
    let origins = |host: &Host| -> Vec<Origin> {
        let contacts = host.client.contacts();
        contacts.iter().map(|contact| contact.origin).collect()
    };
    assert_eq!(origins(&ada), [Origin::Incoming, Origin::Incoming]);
    let (address, name) = (stranger(1), "Cy".to_owned());
    ada.turn(
        Input::Command(Command::RenameContact { address, name }),
        NOW,
    );
    assert_eq!(origins(&ada), [Origin::Added, Origin::Incoming]);
    let answer = Command::Send {
        address: stranger(2),
        id: ID,
        text: "hi".into(),
    };
    let shown = events(ada.turn(Input::Command(answer), NOW));
    let told =
        |event: &Event| matches!(event, Event::Contact(view) if view.origin == Origin::Added);
    assert!(shown.iter().any(told));
    ada.restart();
    assert_eq!(origins(&ada), [Origin::Added, Origin::Added]);
}
