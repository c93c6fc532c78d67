//! The operating system's limit of open files: every connection is one.

use crate::core::MAX_OUTGOING;

/// Files that the relay has open besides the connections of others: its own connections, the database, sockets that
/// listen, links to configured relays, with some to spare.
const OTHERS: usize = MAX_OUTGOING + 135;

/// Asks for as many open files as `connections` need. Says so if the system allows fewer: who comes
/// beyond that is not let in, and nothing else suffers.
pub fn allow(connections: usize) {
    let (allowed, wanted) = allowed(connections);
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than `limits.connections` needs; raise `ulimit -n` \
             (systemd: LimitNOFILE), or lower the limit"
        );
    }
}

/// What the system allows, after asking for as much as `connections` need, and that.
pub fn allowed(connections: usize) -> (u64, u64) {
    let wanted = connections.saturating_add(OTHERS) as u64;
    (raise(wanted), wanted)
}

/// Raises the soft limit as far as the hard one; yields what holds now.
#[cfg(unix)]
fn raise(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // None: without a limit.
    let (Some(current), maximum) = (limit.current, limit.maximum) else {
        return u64::MAX;
    };
    let current_wanted = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if current_wanted <= current {
        return current;
    }
    let raised = Rlimit {
        current: Some(current_wanted),
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => current_wanted,
        Err(_) => current,
    }
}

#[cfg(not(unix))]
const fn raise(_: u64) -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_how_many_files_and_how_much_memory_own_connections_take() {
        let guide = include_str!("../../docs/OPERATORS.md");
        let files = format!("`limits.connections` + {OTHERS}");
        assert!(guide.contains(&files), "{files}");
        let mib = (MAX_OUTGOING * 420).div_ceil(1024) + 8 * 8;
        let row = format!("| {MAX_OUTGOING} relays that this one has dialed");
        let row = guide.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("{MAX_OUTGOING}"));
        assert!(row.ends_with(&format!("| {mib} |")), "{mib}: {row}");
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_grows_and_never_shrinks() {
        let now = raise(0);
        assert!(now > 0);
        assert!(raise(now) >= now);
        assert_eq!(raise(1), raise(0), "nothing is lowered");
    }
}
