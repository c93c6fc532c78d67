//! Bootstrap, synchronisation, and what survives a restart.

use super::world::World;
use crate::time::Duration;

#[test]
fn a_client_with_nothing_asks_three_relays_and_connects() {
    let world = World::connected(5, 1);
    assert_eq!(world.net.directory().len(), 5);
    assert_eq!(world.stock_lost, 1);
}

#[test]
fn one_lying_relay_of_three_adds_and_hides_nothing() {
    let mut seen = 0;
    for liar in 0..3 {
        let mut world = World::with(6, 3, 40 + liar as u64, |_| {});
        assert!(!world.net.directory().is_empty());
        world.advance(Duration::from_secs(5));
        seen += world.net.directory().len();
    }
    assert_eq!(seen, 18);
}
