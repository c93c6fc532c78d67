//! DESIGN §3's table, asserted on everything that each relay of a run sees: no relay, and no two of them, joins a
//! client's IP address with an account, a mailbox or a record, nor one person with another. And builds that are broken
//! on purpose, in which exactly that is found.

use zentalk_shared::onion::MixMode;
use zentalk_shared::time::Duration;
use zentalk_tests::adversary::{Adversary, Finding, Persona};
use zentalk_tests::sim::{Mutation, Plan, World};

/// Fifty people at twelve independent relays, on wires that lose packets and break.
fn fifty(seed: u64) -> Plan {
    Plan {
        relays: 12,
        clients: 50,
        messages: 40,
        crashes_after_commit: 2,
        crashes_before_commit: 0,
        relay_crashes: 2,
        cuts: 10,
        loss: 3,
        settle: Duration::from_mins(1),
        trouble: Duration::from_mins(1),
        calm: Duration::from_mins(2),
        ..Plan::standard(seed)
    }
}

/// A smaller world, for what is found at once.
fn broken(mutation: Option<Mutation>) -> Plan {
    Plan {
        clients: 4,
        messages: 5,
        crashes_after_commit: 0,
        relay_crashes: 0,
        trouble: Duration::from_secs(30),
        mutation,
        ..fifty(700)
    }
}

/// People who mix: twice as many packets, and all of them late.
fn mixing() -> Plan {
    Plan {
        clients: 20,
        messages: 20,
        mixing: MixMode::Strong,
        ..fifty(520)
    }
}

fn none(what: &str, seed: u64, findings: &[Finding]) {
    for finding in findings {
        println!("seed {seed}, {what}: {finding}");
    }
    assert_eq!(findings.len(), 0, "seed {seed}, {what}");
}

#[test]
fn no_relay_and_no_two_relays_join_who_with_where_or_with_whom() {
    keeps_the_table(500..501);
}

#[test]
fn packets_to_oneself_join_nothing_either() {
    let (report, sightings) = World::run_seen(mixing());
    let broken = report.violations.iter();
    assert_eq!(broken.filter(|one| one.is_false_promise()).count(), 0);
    let adversary = Adversary::new(&sightings);
    println!("{:?}", adversary.counts());
    assert_eq!(adversary.accounts_seen(), [] as [String; 0]);
    none("alone", 520, &adversary.alone());
    none("alone, with perfect timing", 520, &adversary.by_timing());
    none("in pairs", 520, &adversary.in_pairs());
    none("by times", 520, &adversary.by_numbers());
}

#[test]
#[ignore = "soak: fifty people twenty times over, minutes"]
fn the_same_twenty_times_over() {
    keeps_the_table(500..520);
}

fn keeps_the_table(seeds: core::ops::Range<u64>) {
    for seed in seeds {
        let (report, sightings) = World::run_seen(fifty(seed));
        let broken = report
            .violations
            .iter()
            .filter(|one| one.is_false_promise());
        assert_eq!(broken.count(), 0, "seed {seed}");
        let adversary = Adversary::new(&sightings);
        let counts = adversary.counts();
        println!("seed {seed}: {counts:?}");
        assert_eq!(counts.known, 50, "seed {seed}: a client published nothing");
        assert!(
            counts.processed > 1_000 && counts.delivered > 1_000,
            "seed {seed}"
        );
        assert_eq!(adversary.accounts_seen(), [] as [String; 0], "seed {seed}");
        none("alone", seed, &adversary.alone());
        none("alone, with perfect timing", seed, &adversary.by_timing());
        none("in pairs", seed, &adversary.in_pairs());
        none("by times", seed, &adversary.by_numbers());
    }
}

#[test]
fn mail_put_straight_to_the_guard_is_found_by_a_single_relay() {
    let (_, sightings) = World::run_seen(broken(Some(Mutation::PutInOneHop)));
    let findings = Adversary::new(&sightings).alone();
    assert!(
        findings.iter().any(joins_address_and_mailbox),
        "{findings:?}"
    );
}

#[test]
fn a_guard_that_is_a_member_is_found_by_timing_and_only_by_it() {
    let (_, sightings) = World::run_seen(broken(Some(Mutation::GuardIsMember)));
    let adversary = Adversary::new(&sightings);
    none("alone", 700, &adversary.alone());
    let findings = adversary.by_timing();
    assert!(
        findings.iter().any(joins_address_and_mailbox),
        "{findings:?}"
    );
}

#[test]
fn frame_ids_that_stay_the_same_across_hops_are_found_by_two_relays() {
    let (_, sightings) = World::run_seen(broken(Some(Mutation::KeepFrameIds)));
    let adversary = Adversary::new(&sightings);
    none("alone", 700, &adversary.alone());
    let findings = adversary.in_pairs();
    assert!(
        findings.iter().any(joins_address_and_mailbox),
        "{findings:?}"
    );
    assert!(findings.iter().all(|finding| finding.relays.len() == 2));
}

#[test]
fn one_tag_for_all_guards_is_found_by_two_relays() {
    // Guards go down, so that others take their place.
    let plan = Plan {
        relay_crashes: 8,
        ..broken(Some(Mutation::OneTagForAllGuards))
    };
    let (_, sightings) = World::run_seen(plan);
    let adversary = Adversary::new(&sightings);
    none("alone", 700, &adversary.alone());
    let follows = |finding: &Finding| matches!(finding.joined, [Persona::Network { client: one, .. }, Persona::Network { client: other, .. }] if one == other);
    let findings = adversary.in_pairs();
    assert!(findings.iter().any(follows), "{findings:?}");
}

#[test]
fn what_few_relays_cost_is_found_too() {
    // The rules of paths give way (docs/THREAT_MODEL.md, "Small networks"): nothing is broken, and yet.
    let plan = Plan {
        relays: 3,
        ..broken(None)
    };
    let (_, sightings) = World::run_seen(plan);
    let findings = Adversary::new(&sightings).by_timing();
    assert!(
        findings.iter().any(joins_address_and_mailbox),
        "{findings:?}"
    );
}

#[test]
fn the_smaller_world_shows_nothing_when_nothing_is_broken() {
    let (_, sightings) = World::run_seen(broken(None));
    let adversary = Adversary::new(&sightings);
    none("alone", 700, &adversary.alone());
    none("alone, with perfect timing", 700, &adversary.by_timing());
    none("in pairs", 700, &adversary.in_pairs());
}

fn joins_address_and_mailbox(finding: &Finding) -> bool {
    matches!(
        finding.joined,
        [Persona::Network { .. }, Persona::Mailbox(_)]
    )
}
