//! Requests and their replies.

use super::world::World;

#[test]
fn a_request_travels_three_hops_and_its_reply_comes_back() {
    let mut world = World::connected(5, 1);
    let target = world.stranger();
    let id = world.ask(target, &[]);
    assert!(world.replies.contains_key(&id), "{:?}", world.failures);
}
