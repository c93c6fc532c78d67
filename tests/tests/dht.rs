//! The DHT at scale (issue 4, "Prove"): lookups against size, churn, loss and liars, in virtual time.

use zentalk_shared::time::Duration;
use zentalk_tests::dht::report::Report;
use zentalk_tests::dht::world::{Plan, World};

/// Issue 4: median hops ≤ log2(N)/3 + 2.
fn assert_hops(report: &Report, relays: usize) {
    let most = (relays as f64).log2() / 3.0 + 2.0;
    assert!(report.hops(0.5) as f64 <= most, "{report}");
}

fn run(name: &str, plan: Plan, records: usize, lookups: usize, over: Duration) -> (World, Report) {
    let mut world = World::new(plan);
    world.pass(Duration::from_secs(30));
    world.publish(records);
    let report = world.look_up(lookups, over);
    println!(
        "{name}, {} relays: {report}; {} frames, {} left",
        plan.relays, world.frames, world.left
    );
    assert!(report.samples.len() > lookups / 2);
    (world, report)
}

#[test]
fn a_hundred_relays_join_through_two_seeds() {
    let mut world = World::grown(Plan::of(100), Duration::from_secs(2));
    world.pass(Duration::from_mins(2));
    world.publish(20);
    let report = world.look_up(200, Duration::from_secs(60));
    let (found, others) = world.crawl();
    println!("joined: {report}; a crawl finds {found} of {others}");
    assert!(report.success() >= 0.999, "{report}");
    assert!(found >= others - 1, "{found} of {others}");
}

#[test]
fn a_fifth_lies_and_records_are_found() {
    let plan = Plan {
        liars: 0.2,
        upkeep: false,
        ..Plan::of(500)
    };
    let (_, report) = run("20 % liars", plan, 100, 1000, Duration::from_secs(120));
    assert!(report.success() >= 0.99, "{report}");
    assert_hops(&report, plan.relays);
}

#[test]
fn loss_costs_time_and_no_records() {
    let plan = Plan {
        loss: 0.1,
        upkeep: false,
        ..Plan::of(300)
    };
    let (_, report) = run("10 % loss", plan, 40, 400, Duration::from_secs(60));
    assert!(report.success() >= 0.999, "{report}");
}

#[test]
fn one_seed_gives_one_run() {
    let runs: Vec<_> = (0..2)
        .map(|_| {
            let plan = Plan {
                liars: 0.1,
                churn: true,
                ..Plan::of(60)
            };
            let (world, report) = run("twice", plan, 10, 60, Duration::from_mins(10));
            (world.frames, world.left, report.to_string())
        })
        .collect();
    assert_eq!(runs[0], runs[1]);
}
