//! Files that are shipped beside the relay say what is true of it.

use std::collections::BTreeSet;

use zentalk_relay::config::LimitsConfig;
use zentalk_relay::daemon::SERIES;

/// Every name of a series in a text.
fn series(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("zentalk_"))
        .collect()
}

#[test]
fn the_dashboard_shows_every_series_and_no_other() {
    let text = include_str!("../deploy/grafana.json");
    serde_json::from_str::<serde_json::Value>(text).unwrap();
    let exported: BTreeSet<_> = SERIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(series(text), exported);
}

#[test]
fn the_operators_page_explains_every_series_and_alerts_on_real_ones() {
    let page = include_str!("../../docs/OPERATORS.md");
    for (name, help) in SERIES {
        assert!(page.contains(&format!("| `{name}` | {help} |")), "{name}");
    }
    let exported: BTreeSet<_> = SERIES.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = series(page).difference(&exported).copied().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_unit_allows_as_many_files_as_connections_need() {
    let unit = include_str!("../deploy/zentalk-relay.service");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("LimitNOFILE="));
    let files: usize = line.unwrap().parse().unwrap();
    assert!(files >= LimitsConfig::default().connections + 512);
}
