//! Replacing the secret that contacts write by.

use super::people::*;
use super::*;
use crate::client::Command;
use crate::client::api::Step;
use crate::time::Duration;

#[test]
fn contacts_are_told_of_a_new_write_secret_and_use_it() {
    let (mut ada, mut bob, _, b) = acquainted();
    let overlap = Duration::from_days(30);
    ada.turn(Input::Command(Command::RenewWriteSecret { overlap }), NOW);
    let secret = ada.client.mailbox.row.write_secret.clone();
    let a = address(&ada);
    assert_ne!(bob.client.contacts.write_secret(&a), Some(&secret));
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(bob.client.contacts.write_secret(&a), Some(&secret));
    ada.restart();
    assert_eq!(ada.client.mailbox.row.write_secret, secret);
    let former = ada.client.mailbox.permits(&MEMBER, NOW).1;
    assert!(former.is_some(), "kept over a restart");
}
