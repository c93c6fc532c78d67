//! What an operator changes while the relay runs.

use zentalk_shared::time::Duration;

use super::net::{Net, url};
use crate::core::store::Quotas;
use crate::core::{ConnId, Input, Limits, Origin, Output, Remote};

/// Two relays that do not know each other.
fn strangers() -> Net {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    for index in 0..2 {
        net.nodes[index].config.peers.clear();
        net.start(index);
    }
    net.settle();
    net.advance(Duration::from_secs(1));
    net
}

#[test]
fn a_new_peer_is_linked_and_told_what_the_descriptor_says_now() {
    let mut net = strangers();
    assert_eq!(net.relay(0).linked_relays(), 0);
    let mut config = net.nodes[0].config.clone();
    config.peers = vec![url(0), url(1)];
    net.input(0, Input::Configure(Box::new(config.clone())));
    net.advance(Duration::from_secs(1));
    assert_eq!(net.relay(0).linked_relays(), 1);
    let before = net.descriptor(0);
    config.info.region = "moved".to_owned();
    net.input(0, Input::Configure(Box::new(config)));
    net.advance(Duration::from_secs(1));
    let after = net.descriptor(0);
    assert_eq!(after.info().region, "moved");
    assert!(after.sequence() > before.sequence());
    let known = net.nodes[1].store.restore().descriptors;
    let is_known = known
        .iter()
        .any(|saved| saved.descriptor == after.bytes().to_vec());
    assert!(is_known, "its peer has it");
}

#[test]
fn a_peer_that_is_no_longer_named_keeps_its_link_and_is_not_dialed_again() {
    let mut net = Net::new(2);
    net.advance(Duration::from_mins(1));
    for index in 0..2 {
        let mut config = net.nodes[index].config.clone();
        config.peers.clear();
        net.input(index, Input::Configure(Box::new(config)));
    }
    assert_eq!(net.relay(0).linked_relays(), 1);
    net.kill(1, 0);
    net.nodes[1].config.peers.clear();
    net.start(1);
    net.advance(Duration::from_mins(5));
    assert_eq!(net.relay(0).linked_relays(), 0);
}

#[test]
fn limits_hold_for_who_comes_next() {
    let mut net = strangers();
    let mut config = net.nodes[0].config.clone();
    config.limits.connections = 0;
    net.input(0, Input::Configure(Box::new(config)));
    let remote = Remote::Accepted(Some(Origin(1)));
    net.handle_only(0, Input::Opened(ConnId(99), remote));
    let outputs = std::iter::from_fn(|| net.relay(0).poll());
    let refused = outputs.filter(|output| matches!(output, Output::Close(ConnId(99), Some(_))));
    assert_eq!(refused.count(), 1);
}
