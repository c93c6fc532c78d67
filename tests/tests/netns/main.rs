//! Relay processes in network namespaces, with 80 ms round trips and 1 % loss between them, and people at native hosts:
//! each in a /24 of its own and behind TLS: relays find each other from two seeds, are killed, restarted and cut off from
//! each other, their disks are full and their clocks wrong; nothing that was shown as sent is lost, nothing is shown twice,
//! and all arrives. Needs root, `ip`, /dev/net/tun and a C compiler.
#![cfg(target_os = "linux")]

// `cargo xtask test` knows the tests by this name, to leave them out where they cannot run.
mod in_namespaces;
mod lookups;
mod namespaces;
mod outfit;
mod relays;
mod router;
