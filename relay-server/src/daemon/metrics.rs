//! Counters and gauges. No label names a client, an address or a mailbox.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::core::{Metric, Relay};

/// Every series, and what it is. A name ends in `_total` if and only if it is a counter.
pub const SERIES: &[(&str, &str)] = &[
    (
        "zentalk_packets_total",
        "Onion packets, by what became of them",
    ),
    (
        "zentalk_packets_peeled_total",
        "Onion packets that authenticated, by suite",
    ),
    (
        "zentalk_packets_delayed_total",
        "Onion packets that were held back first, as their sender wished: mixing",
    ),
    (
        "zentalk_packets_dropped_total",
        "Onion packets dropped, by reason",
    ),
    (
        "zentalk_dialed_back_total",
        "Relays looked for at the URL that they claim, by fate",
    ),
    (
        "zentalk_claims_refused_total",
        "Relay descriptors that were not looked into, by reason",
    ),
    (
        "zentalk_links_refused_total",
        "Connections refused or closed, by reason",
    ),
    (
        "zentalk_dht_total",
        "Events of the table of relays and records, by what happened",
    ),
    ("zentalk_answers_total", "Remote calls answered, by type"),
    ("zentalk_refusals_total", "Remote calls refused, by reason"),
    ("zentalk_pushes_total", "Pushes to owners of mailboxes"),
    (
        "zentalk_replicated_total",
        "Envelopes stored for other members",
    ),
    (
        "zentalk_comparisons_total",
        "Comparisons with other members that were begun, and questions of theirs passed over",
    ),
    (
        "zentalk_store_failures_total",
        "Operations that the store could not do",
    ),
    (
        "zentalk_replay_tags_lost_total",
        "Replay tags that could neither be logged nor kept; their onion keys were replaced",
    ),
    (
        "zentalk_slow_sockets_total",
        "Frames dropped for sockets that do not keep up",
    ),
    (
        "zentalk_sockets_given_up_total",
        "Sockets given up because they read slowest while too much waited for all",
    ),
    (
        "zentalk_packets_held",
        "Onion packets held back now: among so many hides each that leaves",
    ),
    ("zentalk_connections", "Open connections, by role"),
    ("zentalk_relays_linked", "Links to other relays"),
    ("zentalk_relays_known", "Relays in the directory"),
    (
        "zentalk_relays_claimed",
        "Relays that were told of and have not been found",
    ),
    (
        "zentalk_dht_contacts",
        "Relays in the table of the DHT; none until this relay has found its own URL",
    ),
    ("zentalk_dht_records", "Records held for the DHT"),
    ("zentalk_dht_bytes", "Bytes of the records held for the DHT"),
    ("zentalk_mailboxes", "Mailboxes held"),
    (
        "zentalk_work_effort",
        "Proof of work that strangers are asked for, in solutions",
    ),
    ("zentalk_database_bytes", "Size of the database and its log"),
    (
        "zentalk_disk_free_bytes",
        "Free on the disk of the data directory",
    ),
    (
        "zentalk_certificate_seconds_left",
        "How long the TLS certificate is still valid",
    ),
];

/// Says what every series is.
pub(super) fn describe() {
    for (name, help) in SERIES {
        match name.ends_with("_total") {
            true => describe_counter!(*name, *help),
            false => describe_gauge!(*name, *help),
        }
    }
}

pub(super) fn count(metric: Metric, n: u64) {
    match metric {
        Metric::Peeled(suite) => {
            counter!("zentalk_packets_peeled_total", "suite" => suite).increment(n);
        }
        Metric::Forwarded => counter!("zentalk_packets_total", "fate" => "forwarded").increment(n),
        Metric::Delayed => counter!("zentalk_packets_delayed_total").increment(n),
        Metric::Delivered => counter!("zentalk_packets_total", "fate" => "delivered").increment(n),
        Metric::Processed => counter!("zentalk_packets_total", "fate" => "processed").increment(n),
        Metric::PacketDropped(reason) => {
            counter!("zentalk_packets_dropped_total", "reason" => reason).increment(n);
        }
        Metric::DialedBack(fate) => {
            counter!("zentalk_dialed_back_total", "fate" => fate).increment(n);
        }
        Metric::ClaimRefused(reason) => {
            counter!("zentalk_claims_refused_total", "reason" => reason).increment(n);
        }
        Metric::LinkRefused(reason) => {
            counter!("zentalk_links_refused_total", "reason" => reason).increment(n);
        }
        Metric::Answered(kind) => counter!("zentalk_answers_total", "type" => kind).increment(n),
        Metric::Refused(reason) => {
            counter!("zentalk_refusals_total", "reason" => reason).increment(n);
        }
        Metric::Dht(event) => counter!("zentalk_dht_total", "event" => event).increment(n),
        Metric::Pushed => counter!("zentalk_pushes_total").increment(n),
        Metric::Replicated => counter!("zentalk_replicated_total").increment(n),
        Metric::Compared(event) => {
            counter!("zentalk_comparisons_total", "event" => event).increment(n);
        }
        Metric::StoreFailed => counter!("zentalk_store_failures_total").increment(n),
        Metric::ReplayTagsLost => counter!("zentalk_replay_tags_lost_total").increment(n),
    }
}

pub(super) fn dropped_for_slow_socket() {
    counter!("zentalk_slow_sockets_total").increment(1);
}

pub(super) fn gave_up_slow_socket() {
    counter!("zentalk_sockets_given_up_total").increment(1);
}

pub(super) fn set_gauges(relay: &Relay) {
    let [clients, relays, others] = relay.connections();
    gauge!("zentalk_packets_held").set(relay.packets_held() as f64);
    gauge!("zentalk_connections", "role" => "client").set(clients as f64);
    gauge!("zentalk_connections", "role" => "relay").set(relays as f64);
    gauge!("zentalk_connections", "role" => "other").set(others as f64);
    gauge!("zentalk_relays_linked").set(relay.linked_relays() as f64);
    gauge!("zentalk_relays_known").set(relay.known_relays() as f64);
    gauge!("zentalk_relays_claimed").set(relay.claimed_relays() as f64);
    if let Some([contacts, records, bytes]) = relay.dht_holdings() {
        gauge!("zentalk_dht_contacts").set(contacts as f64);
        gauge!("zentalk_dht_records").set(records as f64);
        gauge!("zentalk_dht_bytes").set(bytes as f64);
    }
    gauge!("zentalk_mailboxes").set(relay.mailboxes_held() as f64);
    gauge!("zentalk_work_effort").set(f64::from(relay.work_effort()));
}

/// What the core does not know. Nothing is said of what there is not.
pub(super) fn set_surroundings(database: u64, free: Option<u64>, certificate: Option<f64>) {
    gauge!("zentalk_database_bytes").set(database as f64);
    if let Some(free) = free {
        gauge!("zentalk_disk_free_bytes").set(free as f64);
    }
    if let Some(left) = certificate {
        gauge!("zentalk_certificate_seconds_left").set(left);
    }
}
