//! The seeded schedules that every build must pass, and broken builds that must not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use zentalk_shared::onion::{MixMode, Suite};
use zentalk_shared::time::Duration;
use zentalk_tests::sim::{Mutation, Plan, Report, Skew, Violation, World};

/// Seeds of one run; `ZENTALK_SEEDS=0..1000` plays more, `ZENTALK_SEEDS=117` one again.
fn seeds(default: (u64, u64)) -> (u64, u64) {
    let Ok(text) = std::env::var("ZENTALK_SEEDS") else {
        return default;
    };
    match text.split_once("..") {
        Some((from, to)) => (
            from.parse().expect("a number"),
            to.parse().expect("a number"),
        ),
        None => {
            let seed = text.parse().expect("a number");
            (seed, seed + 1)
        }
    }
}

/// Plays plans on both cores; reports in the order of their seeds.
fn play(from: u64, to: u64, plan: impl Fn(u64) -> Plan + Sync) -> Vec<Report> {
    let next = AtomicU64::new(from);
    let worker = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= to {
                return reports;
            }
            reports.push(World::new(plan(seed)).run());
        }
    };
    let mut reports: Vec<Report> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a run must not panic"))
            .collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports
}

#[test]
fn no_sent_message_is_lost_none_is_shown_twice_and_none_stays_unsent() {
    let (from, to) = seeds((0, 8));
    keeps_its_promises(from, to);
}

#[test]
#[ignore = "soak: 1,000 schedules, about an hour on two cores"]
fn a_thousand_schedules_keep_their_promises() {
    let (from, to) = seeds((0, 1_000));
    keeps_its_promises(from, to);
}

fn keeps_its_promises(from: u64, to: u64) {
    let reports = play(from, to, Plan::standard);
    for report in reports
        .iter()
        .filter(|report| !report.violations.is_empty())
    {
        println!(
            "seed {}: {:?}; again with ZENTALK_SEEDS={}",
            report.seed, report.violations, report.seed
        );
    }
    for report in &reports {
        for line in &report.stuck {
            println!("seed {}: {line}", report.seed);
        }
    }
    let broken = reports.iter().map(|report| report.violations.len());
    assert_eq!(
        broken.sum::<usize>(),
        0,
        "a message was lost after sent, shown twice, changed, or never sent"
    );
    for report in &reports {
        assert!(report.messages >= 40, "seed {}", report.seed);
        assert!(report.lost > 0, "seed {}: no packet was lost", report.seed);
    }
    let hit: usize = reports
        .iter()
        .map(|report| report.crashes_after_commit)
        .sum();
    let count = usize::try_from(to - from).expect("few");
    println!(
        "{count} schedules: {} texts, {} crashes ({hit} between commit and send), {} packets lost, {} events",
        reports.iter().map(|report| report.messages).sum::<usize>(),
        reports.iter().map(|report| report.crashes).sum::<usize>(),
        reports.iter().map(|report| report.lost).sum::<u64>(),
        reports.iter().map(|report| report.events).sum::<u64>(),
    );
    assert!(
        hit >= 2 * count,
        "only {hit} crashes between commit and send in {count} schedules"
    );
}

#[test]
fn paths_of_x_wing_keep_the_promises_in_pure_and_mixed_networks() {
    // Of nine relays: all have X-Wing; enough of them; too few, so that X25519 is used; none.
    for classical_relays in [0, 3, 6, 9] {
        let plan = |seed| Plan {
            suite: Suite::XWing,
            classical_relays,
            clients: 8,
            messages: 20,
            ..Plan::standard(seed)
        };
        let reports = play(100, 102, plan);
        for report in &reports {
            for line in &report.stuck {
                println!("seed {}: {line}", report.seed);
            }
            let seed = report.seed;
            assert_eq!(
                report.violations,
                [],
                "{classical_relays} classical, seed {seed}"
            );
            let [x25519, xwing] = report.packets;
            println!("{classical_relays} classical: {x25519} packets of X25519, {xwing} of X-Wing");
            match classical_relays {
                0 => assert_eq!(x25519, 0),
                3 => assert!(xwing > 0),
                _ => assert_eq!(xwing, 0),
            }
        }
    }
}

#[test]
fn people_who_mix_lose_nothing() {
    for (mixing, seed) in [(MixMode::Light, 160), (MixMode::Strong, 161)] {
        let plan = |seed| Plan {
            mixing,
            clients: 8,
            messages: 30,
            ..Plan::standard(seed)
        };
        for report in &play(seed, seed + 1, plan) {
            let promises = (&report.violations[..], &report.stuck[..]);
            assert_eq!(promises, (&[][..], &[][..]), "{mixing:?}");
        }
    }
}

#[test]
fn texts_of_people_who_mix_take_as_long_as_they_say() {
    let mut faster = Duration::ZERO;
    for mixing in MixMode::ALL {
        let plan = |seed| Plan {
            mixing,
            clients: 4,
            messages: 40,
            crashes_after_commit: 0,
            crashes_before_commit: 0,
            relay_crashes: 0,
            cuts: 0,
            loss: 0,
            ..Plan::standard(seed)
        };
        let mut delays = play(162, 163, plan).remove(0).delays;
        delays.sort_unstable();
        let median = delays[delays.len() / 2];
        println!("{mixing:?}: median {median:?} of {}", delays.len());
        // Four relays on the way hold a text, to its mailbox and from there.
        let held = mixing.mean_delay() * 2;
        assert!(median >= faster + held, "{mixing:?}: {median:?}");
        faster = median;
    }
}

#[test]
fn a_hostile_minority_talks_nobody_out_of_x_wing() {
    // Of twelve relays five offer X25519 only; with a floor they are never even asked.
    for floor in [None, Some(Suite::XWing)] {
        let plan = |seed| Plan {
            suite: Suite::XWing,
            floor,
            relays: 12,
            classical_relays: 5,
            clients: 8,
            messages: 20,
            ..Plan::standard(seed)
        };
        for report in &play(110, 112, plan) {
            let seed = report.seed;
            assert_eq!(
                (&report.violations[..], &report.stuck[..]),
                (&[][..], &[][..]),
                "seed {seed}, floor {floor:?}"
            );
            let [x25519, xwing] = report.packets;
            println!("floor {floor:?}: {x25519} packets of X25519, {xwing} of X-Wing");
            match floor {
                None => assert!(xwing > x25519),
                Some(_) => assert_eq!(x25519, 0),
            }
        }
    }
}

#[test]
fn below_a_floor_nothing_is_sent_and_people_are_told_why() {
    let report = World::new(Plan {
        suite: Suite::XWing,
        floor: Some(Suite::XWing),
        classical_relays: 6,
        clients: 4,
        messages: 6,
        ..Plan::standard(120)
    })
    .run();
    assert_eq!(report.packets, [0, 0]);
    assert!(!report.stuck.is_empty());
    for line in &report.stuck {
        assert!(line.contains("OnionBelowFloor"), "{line}");
    }
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    let run = || {
        World::new(Plan {
            messages: 12,
            ..Plan::standard(7)
        })
        .run()
    };
    let (one, two) = (run(), run());
    assert_eq!(
        (one.events, one.lost, one.took),
        (two.events, two.lost, two.took)
    );
}

/// Whoever has looked for somebody in vain asks more relays, and in a network of twelve that is all there are: there must
/// be a path to them none the less.
#[test]
fn who_comes_late_is_found_in_the_smallest_network_with_strict_paths() {
    let plan = |seed| Plan {
        relays: 12,
        clients: 6,
        late: 3,
        messages: 18,
        crashes_after_commit: 0,
        crashes_before_commit: 0,
        relay_crashes: 0,
        cuts: 0,
        loss: 0,
        settle: Duration::from_mins(1),
        calm: Duration::from_mins(10),
        ..Plan::standard(seed)
    };
    for report in &play(400, 402, plan) {
        for line in &report.stuck {
            println!("seed {}: {line}", report.seed);
        }
        assert_eq!(report.violations, [], "seed {}", report.seed);
    }
}

#[test]
fn what_was_written_arrives_although_sessions_are_lost() {
    let plan = |seed| Plan {
        lost_sessions: 8,
        messages: 60,
        ..Plan::standard(seed)
    };
    let (from, to) = seeds((0, 4));
    let reports = play(from, to, plan);
    for report in &reports {
        for line in &report.stuck {
            println!("seed {}: {line}", report.seed);
        }
        assert_eq!(report.violations, [], "seed {}", report.seed);
    }
    let notices: usize = reports.iter().map(|report| report.notices).sum();
    println!("people were told {notices} times");
    assert!(notices > 0, "nobody was told of any new session");
}

/// Members repeat a push that nobody has acknowledged after a minute; whoever knows that its guard died asks before.
#[test]
fn a_push_that_is_lost_with_its_guard_is_not_waited_for() {
    for back in [None, Some(Duration::from_secs(2))] {
        for report in &play(300, 308, |seed| Plan::death_of_a_guard(seed, back)) {
            let seed = report.seed;
            assert_eq!(report.violations, [], "seed {seed}, back {back:?}");
            assert!(report.guard_died, "seed {seed}, back {back:?}");
            let slowest = report.delays.iter().max().copied();
            assert!(
                slowest < Some(Duration::from_secs(15)),
                "seed {seed}, back {back:?}: {slowest:?}"
            );
        }
    }
}

/// Clocks of relays and of people: two of them may be three hours apart, and each two hours off.
#[test]
fn clocks_that_are_two_hours_off_lose_nothing() {
    let minutes = |ahead, behind| Skew {
        ahead: Duration::from_mins(ahead),
        behind: Duration::from_mins(behind),
    };
    for skew in [minutes(120, 0), minutes(0, 120), minutes(90, 85)] {
        let plan = |seed| Plan {
            skew,
            ..Plan::standard(seed)
        };
        let (from, to) = seeds((400, 401));
        for report in &play(from, to, plan) {
            let (seed, stuck) = (report.seed, &report.stuck);
            assert_eq!(report.violations, [], "seed {seed}, {skew:?}: {stuck:?}");
        }
    }
}

/// Two of twelve relays would see a sixth of all packets, and more, since what they swallow is sent again. They see less than a
/// seventh, a tenth on average.
#[test]
fn relays_that_drop_or_delay_packets_are_avoided_and_hold_nothing_up_for_long() {
    for late_by in [None, Some(Duration::from_secs(8))] {
        let (from, to) = seeds((420, 421));
        for report in &play(from, to, |seed| Plan::droppers(seed, late_by)) {
            let (seed, stuck) = (report.seed, &report.stuck);
            assert_eq!(report.violations, [], "seed {seed}, {late_by:?}: {stuck:?}");
            let slowest = report.delays.iter().max().copied();
            // The longest pause between two attempts.
            let minutes = Duration::from_mins(5);
            assert!(
                slowest.is_some_and(|slowest| slowest < minutes),
                "seed {seed}: {slowest:?}"
            );
            let [_, (reached, all)] = report.reached;
            println!("late by {late_by:?}: {reached} of {all} packets, slowest text {slowest:?}");
            assert!(reached * 7 < all, "seed {seed}: {reached} of {all}");
        }
    }
}

#[test]
fn a_network_of_one_relay_or_two_carries_mail() {
    for relays in [1, 2] {
        let (from, to) = seeds((440, 441));
        for report in &play(from, to, |seed| Plan::few_relays(seed, relays)) {
            let (seed, stuck) = (report.seed, &report.stuck);
            assert_eq!(
                report.violations,
                [],
                "seed {seed}, {relays} relays: {stuck:?}"
            );
        }
    }
}

#[test]
fn a_member_that_hands_out_garbage_makes_nobody_delete_mail() {
    let plan = |seed| Plan {
        liars: 1,
        clients: 8,
        messages: 24,
        ..Plan::standard(seed)
    };
    let reports = play(200, 203, plan);
    for report in &reports {
        for line in &report.stuck {
            println!("seed {}: {line}", report.seed);
        }
        assert_eq!(report.violations, [], "seed {}", report.seed);
    }
    let lies = reports.iter().filter(|report| report.lies > 0).count();
    assert!(lies > 1, "hardly anybody was lied to");
}

#[test]
fn fault_16_members_that_are_lost_are_replaced_and_nothing_is_lost_with_them() {
    let (from, to) = seeds((300, 301));
    survives_losses(&play(from, to, Plan::losses));
}

#[test]
#[ignore = "soak: three days of virtual time"]
fn fault_16_the_same_while_owners_sleep_for_two_days() {
    let plan = |seed| Plan {
        sleepers: 2,
        trouble: Duration::from_hours(48),
        messages: 24,
        relays_away: 2,
        ..Plan::losses(seed)
    };
    survives_losses(&play(310, 311, plan));
}

/// A member serves its owners no more but goes on taking mail, and they leave it. In the world of seed 335 somebody
/// comes when only two relays are known, and has its guard in its swarm until there are more.
#[test]
fn owners_whom_a_member_turns_away_leave_it_and_lose_nothing() {
    let (from, to) = seeds((334, 336));
    let reports = play(from, to, Plan::moves);
    for report in &reports {
        for line in &report.stuck {
            println!("seed {}: {line}", report.seed);
        }
        let (seed, left) = (report.seed, report.left);
        assert_eq!(report.violations, [], "seed {seed}");
        assert!(left > 0, "seed {seed}: nobody has moved");
    }
}

#[test]
fn fault_16_a_member_that_has_missed_mail_has_it_when_all_others_are_lost() {
    for report in &play(341, 342, Plan::survivor) {
        assert_eq!(report.violations, [], "seed {}", report.seed);
        assert!(report.bereft > 0, "nobody was lost");
    }
}

#[test]
fn members_that_do_not_compare_what_they_hold_are_found_out() {
    let plan = |seed| Plan {
        mutation: Some(Mutation::NoAntiEntropy),
        calm: Duration::from_mins(20),
        ..Plan::survivor(seed)
    };
    for report in &play(340, 341, plan) {
        let lost = report
            .violations
            .iter()
            .filter(|one| one.is_false_promise());
        assert!(lost.count() > 0, "seed {}", report.seed);
    }
}

#[test]
#[ignore = "soak: 40 schedules of 12 hours with members lost for good"]
fn forty_schedules_of_losses_keep_their_promises() {
    let (from, to) = seeds((320, 360));
    survives_losses(&play(from, to, Plan::losses));
}

fn survives_losses(reports: &[Report]) {
    for report in reports {
        for line in &report.stuck {
            println!("seed {}: {line}", report.seed);
        }
        let (seed, took) = (report.seed, report.took);
        println!(
            "seed {seed}: {} swarms lost a member, {} events, all well after {took:?}",
            report.bereft, report.events
        );
        assert_eq!(report.violations, [], "seed {seed}");
        assert!(report.bereft > 0, "seed {seed}: nobody has lost a member");
        assert_eq!(report.broken_swarms, 0, "seed {seed}");
    }
}

#[test]
fn a_relay_that_acknowledges_before_its_commit_is_found_out() {
    finds(Mutation::AcknowledgeBeforeCommit);
}

#[test]
fn a_client_that_commits_after_it_has_sent_is_found_out() {
    finds(Mutation::CommitAfterSend);
}

/// A broken build breaks a promise within a few schedules.
fn finds(mutation: Mutation) {
    let plan = |seed| Plan {
        mutation: Some(mutation),
        crashes_after_commit: 12,
        relay_crashes: 20,
        calm: Duration::from_mins(15),
        ..Plan::standard(seed)
    };
    let found = (0..20)
        .map(|seed| World::new(plan(seed)).run())
        .find(|report| report.violations.iter().any(Violation::is_false_promise));
    let report = found.expect("a broken build was not found out");
    println!(
        "{mutation:?}: seed {} shows {:?}",
        report.seed, report.violations
    );
}
