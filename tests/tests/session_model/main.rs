//! Session establishment between two devices, every schedule of it within bounds: both begin at once, the
//! network loses, reorders and doubles, a device loses its sessions or its prekeys too, restarts, is made to begin
//! anew without need, or hears for so long nothing that sessions end.
//!
//! The states are real ones: every step of a device is `SessionRecord` and `receive` themselves, with
//! randomness that depends on nothing but the device's state, so that equal states have equal futures. A
//! device's steps are computed once and remembered; what is explored is how the two interleave. What the engine does
//! with texts is modelled beside them: it keeps them until a receipt comes, and sends them again whenever a session
//! with the peer begins (`client/renewal.rs`).
//!
//! Checked in every state: nothing is read twice, nothing is read that was not sent, nothing genuine is refused
//! while nobody has lost anything, and nothing is confirmed that was not read. Checked whenever nothing is under way:
//! once both have done what they have to, every text is read, or its sender can tell; and if the two go on talking,
//! both come to send in the same session, and everything is read. A device begins anew at most once, as an engine does
//! within a day; only when the two go on talking may it do so again.

mod claims;
mod device;
mod model;
mod regressions;

use stateright::{Checker, Model};
use zentalk_shared::time::Duration;

use claims::{CONVERGES, DELIVERS, SAFE};
use device::Rules;
use model::{Act, Bounds, Establishment, SMALL};

/// Explores all of it; prints how much that was.
fn explore(bounds: Bounds, rules: Rules) -> impl Checker<Establishment> {
    let started = std::time::Instant::now();
    let model = Establishment::new(bounds, rules);
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "{bounds:?}: {} states, {} transitions, depth {}, {} steps of devices, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().steps(),
        started.elapsed()
    );
    checker
}

fn holds(bounds: Bounds) {
    explore(bounds, Rules::Right).assert_properties();
}

/// Seeds under which the first session of one device has the lower id, then that of the other one.
fn either_way() -> [u64; 2] {
    let alice_is_lower = |seed: &u64| {
        let model = Establishment::new(
            Bounds {
                seed: *seed,
                ..SMALL
            },
            Rules::Right,
        );
        let state = &model.init_states()[0];
        let [a, b] = [0, 1].map(|who| model.after(&state.devices[who], Act::Start(0), None).0);
        a.sessions.current() < b.sessions.current()
    };
    let find = |wanted| {
        (1..100)
            .find(|seed| alice_is_lower(seed) == wanted)
            .unwrap()
    };
    [find(true), find(false)]
}

#[test]
fn both_begin_and_the_network_loses_and_reorders() {
    for seed in either_way() {
        holds(Bounds {
            seed,
            texts: 2,
            ..SMALL
        });
    }
}

#[test]
fn last_resort_prekeys_alone_do_as_well() {
    holds(Bounds {
        one_time: 0,
        ..SMALL
    });
}

#[test]
fn a_device_loses_its_sessions() {
    for one_time in [0, 1] {
        holds(Bounds {
            forgets: 1,
            losses: 0,
            one_time,
            ..SMALL
        });
    }
}

#[test]
fn a_device_loses_its_prekeys_as_well() {
    holds(Bounds {
        forgets: 1,
        forgets_prekeys: true,
        losses: 0,
        ..SMALL
    });
}

const LOSES_BOTH: Bounds = Bounds {
    forgets: 1,
    losses: 1,
    texts: 2,
    ..SMALL
};

#[test]
fn the_network_loses_messages_and_a_device_its_sessions() {
    holds(LOSES_BOTH);
}

#[test]
fn a_device_is_made_to_begin_anew() {
    for seed in either_way() {
        for ends in [0, 1] {
            holds(Bounds {
                seed,
                provoked: 1,
                ends,
                losses: 0,
                ..SMALL
            });
        }
    }
}

#[test]
fn clocks_differ() {
    for ahead in [Duration::from_ms(1), Duration::from_hours(11)] {
        holds(Bounds {
            ahead,
            provoked: 1,
            ..SMALL
        });
        for forgets_prekeys in [false, true] {
            holds(Bounds {
                ahead,
                forgets: 1,
                forgets_prekeys,
                losses: 0,
                ..SMALL
            });
        }
    }
}

/// A message of a session that both have had does not say when that was begun.
const CLOCKS_DIFFER: Bounds = Bounds {
    ahead: Duration::from_mins(59),
    forgets: 1,
    losses: 0,
    texts: 2,
    ..SMALL
};

#[test]
fn a_device_whose_clock_is_behind_loses_a_session_that_both_had() {
    holds(CLOCKS_DIFFER);
}

#[test]
fn sessions_end_while_messages_are_held() {
    for seed in either_way() {
        holds(Bounds {
            seed,
            ends: 1,
            losses: 0,
            ..SMALL
        });
    }
}

const BOTH_FORGET: Bounds = Bounds {
    forgets: 2,
    losses: 0,
    ..SMALL
};

#[test]
fn both_devices_lose_their_sessions() {
    holds(BOTH_FORGET);
    holds(Bounds {
        forgets_prekeys: true,
        ..BOTH_FORGET
    });
}

const FORGETFUL: Bounds = Bounds {
    forgets: 1,
    losses: 0,
    restarts: 1,
    ..SMALL
};

#[test]
fn a_device_loses_its_sessions_and_restarts() {
    holds(FORGETFUL);
}

#[test]
fn what_comes_twice_does_no_harm() {
    holds(Bounds {
        copies: 1,
        losses: 0,
        ..SMALL
    });
}

fn is_found(bounds: Bounds, rules: Rules, claim: &'static str) {
    let checker = explore(bounds, rules);
    let path = checker.discovery(claim).expect("a counterexample");
    println!("{path:?}");
    assert!(checker.discovery(SAFE).is_none());
}

#[test]
fn texts_that_are_not_sent_again_are_found_out() {
    is_found(FORGETFUL, Rules::NothingAgain, DELIVERS);
    is_found(FORGETFUL, Rules::NothingAgain, CONVERGES);
}

#[test]
fn texts_that_are_not_sent_again_by_who_lost_its_sessions_too_are_found_out() {
    is_found(BOTH_FORGET, Rules::NothingAgainFromWhoLost, DELIVERS);
}

#[test]
fn a_wish_that_a_restart_undoes_is_found_out() {
    is_found(FORGETFUL, Rules::WishesInMemory, DELIVERS);
}

#[test]
fn without_the_tie_break_the_two_never_agree_and_the_model_finds_it() {
    let checker = explore(SMALL, Rules::NewestWins);
    let path = checker.discovery(CONVERGES).expect("a counterexample");
    println!("{path:?}");
    assert!(checker.discovery(SAFE).is_none());
}

#[test]
fn without_memory_of_prekeys_a_replay_is_read_twice_and_the_model_finds_it() {
    let bounds = Bounds {
        forgets: 1,
        losses: 0,
        copies: 1,
        ..SMALL
    };
    let checker = explore(bounds, Rules::PrekeysForEver);
    assert!(checker.discovery(SAFE).is_some());
}

#[test]
#[ignore = "soak: the same with wider bounds, long"]
fn wider_bounds() {
    let wide = Bounds {
        starts: 2,
        texts: 3,
        flying: 4,
        losses: 2,
        ..SMALL
    };
    for seed in either_way() {
        for forgets_prekeys in [false, true] {
            holds(Bounds {
                seed,
                forgets_prekeys,
                restarts: 1,
                ..LOSES_BOTH
            });
            holds(Bounds {
                seed,
                forgets_prekeys,
                ..CLOCKS_DIFFER
            });
        }
    }
    for seed in either_way() {
        holds(Bounds { seed, ..wide });
        for forgets_prekeys in [false, true] {
            holds(Bounds {
                seed,
                forgets: 1,
                forgets_prekeys,
                losses: 1,
                ..wide
            });
        }
    }
}
