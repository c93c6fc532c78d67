//! The part of a host name that somebody pays for: `example.org` of `a.b.example.org`.
//!
//! The last two labels; three under a country's second-level domain of those in [`SECOND_LEVELS`]. This is a
//! short list and not the public suffix list, on purpose: a name that the list has wrong is taken for a part
//! of a *larger* domain, so its relays count as one network with their neighbours' and never as more than they
//! are. The full list, moreover, holds thousands of private suffixes (`duckdns.org`, `github.io`) under which names are
//! free: it would make as many independent networks of them as anybody likes. (It would also
//! add 228 kB to the 668 kB, compressed, that a browser downloads: the crate `psl` 2.1, for wasm.)

/// Second-level domains that their registries sell names under, by country, in the order of the countries.
const SECOND_LEVELS: &[(&str, &[&str])] = &[
    ("ar", &["com", "edu", "gob", "int", "mil", "net", "org"]),
    ("at", &["ac", "co", "gv", "or"]),
    ("au", &["asn", "com", "edu", "gov", "id", "net", "org"]),
    ("bd", &["ac", "com", "edu", "gov", "mil", "net", "org"]),
    (
        "br",
        &[
            "app", "art", "com", "dev", "edu", "gov", "ind", "mil", "net", "org",
        ],
    ),
    ("cn", &["ac", "com", "edu", "gov", "mil", "net", "org"]),
    ("co", &["com", "edu", "gov", "mil", "net", "nom", "org"]),
    ("cr", &["ac", "co", "ed", "fi", "go", "or", "sa"]),
    ("eg", &["com", "edu", "gov", "mil", "net", "org", "sci"]),
    ("es", &["com", "edu", "gob", "nom", "org"]),
    ("gr", &["com", "edu", "gov", "net", "org"]),
    ("hk", &["com", "edu", "gov", "idv", "net", "org"]),
    (
        "id",
        &["ac", "biz", "co", "go", "my", "net", "or", "sch", "web"],
    ),
    ("il", &["ac", "co", "gov", "k12", "muni", "net", "org"]),
    (
        "in",
        &[
            "ac", "co", "edu", "firm", "gen", "gov", "ind", "mil", "net", "org", "res",
        ],
    ),
    ("ir", &["ac", "co", "gov", "id", "net", "org", "sch"]),
    (
        "jp",
        &["ac", "ad", "co", "ed", "go", "gr", "lg", "ne", "or"],
    ),
    ("ke", &["ac", "co", "go", "info", "me", "ne", "or", "sc"]),
    ("kr", &["ac", "co", "go", "mil", "ne", "or", "pe", "re"]),
    ("ma", &["ac", "co", "gov", "net", "org", "press"]),
    ("mx", &["com", "edu", "gob", "net", "org"]),
    ("my", &["com", "edu", "gov", "mil", "name", "net", "org"]),
    (
        "ng",
        &["com", "edu", "gov", "mil", "name", "net", "org", "sch"],
    ),
    (
        "nz",
        &[
            "ac", "co", "geek", "gen", "govt", "health", "iwi", "kiwi", "maori", "mil", "net",
            "org", "school",
        ],
    ),
    ("pe", &["com", "edu", "gob", "mil", "net", "nom", "org"]),
    ("ph", &["com", "edu", "gov", "mil", "net", "ngo", "org"]),
    ("pk", &["com", "edu", "fam", "gov", "net", "org", "web"]),
    ("pl", &["com", "edu", "gov", "info", "net", "org"]),
    ("pt", &["com", "edu", "gov", "int", "net", "nome", "org"]),
    ("py", &["com", "coop", "edu", "gov", "mil", "net", "org"]),
    ("ro", &["com", "firm", "info", "nom", "org", "rec", "www"]),
    ("rs", &["ac", "co", "edu", "gov", "in", "org"]),
    ("sa", &["com", "edu", "gov", "med", "net", "org", "sch"]),
    ("sg", &["com", "edu", "gov", "net", "org"]),
    ("th", &["ac", "co", "go", "in", "mi", "net", "or"]),
    (
        "tr",
        &[
            "biz", "com", "edu", "gen", "gov", "info", "k12", "name", "net", "org", "web",
        ],
    ),
    (
        "tw",
        &[
            "club", "com", "edu", "game", "gov", "idv", "mil", "net", "org",
        ],
    ),
    ("ua", &["com", "edu", "gov", "in", "net", "org"]),
    ("ug", &["ac", "co", "com", "go", "ne", "or", "org", "sc"]),
    (
        "uk",
        &[
            "ac", "co", "gov", "ltd", "me", "net", "nhs", "org", "plc", "police", "sch",
        ],
    ),
    ("uy", &["com", "edu", "gub", "mil", "net", "org"]),
    (
        "ve",
        &[
            "co", "com", "edu", "gob", "info", "mil", "net", "org", "web",
        ],
    ),
    (
        "vn",
        &[
            "ac", "biz", "com", "edu", "gov", "info", "name", "net", "org", "pro",
        ],
    ),
    (
        "za",
        &[
            "ac", "co", "edu", "gov", "law", "mil", "net", "ngo", "nom", "org", "school", "web",
        ],
    ),
];

/// The registrable domain of a host name in lower case; the name itself if it is no longer than that.
pub(super) fn registrable(name: &str) -> &str {
    let mut ends = name.rmatch_indices('.').map(|(at, _)| at);
    let (Some(top), Some(second), third) = (ends.next(), ends.next(), ends.next()) else {
        return name;
    };
    let country = name.get(top + 1..).unwrap_or_default();
    let label = name.get(second + 1..top).unwrap_or_default();
    match (is_second_level(country, label), third) {
        (false, _) => name.get(second + 1..).unwrap_or(name),
        (true, None) => name,
        (true, Some(third)) => name.get(third + 1..).unwrap_or(name),
    }
}

fn is_second_level(country: &str, label: &str) -> bool {
    let at = SECOND_LEVELS.binary_search_by_key(&country, |(country, _)| country);
    let labels = at.ok().and_then(|at| SECOND_LEVELS.get(at));
    labels.is_some_and(|(_, labels)| labels.contains(&label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labels_are_registered_or_three_where_registries_say_so() {
        for (name, domain) in [
            ("example.org", "example.org"),
            ("a.example.org", "example.org"),
            ("a.b.c.example.org", "example.org"),
            ("example.co.uk", "example.co.uk"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("relay.example.com.br", "example.com.br"),
            ("relay.example.uk", "example.uk"),
            ("localhost", "localhost"),
            ("co.uk", "co.uk"),
            ("relay.co.de", "co.de"),
        ] {
            assert_eq!(registrable(name), domain, "{name}");
        }
    }

    #[test]
    fn free_names_under_one_domain_are_of_that_domain() {
        assert_eq!(
            registrable("one.duckdns.org"),
            registrable("two.duckdns.org")
        );
        assert_eq!(registrable("1.2.3.4.nip.io"), "nip.io");
    }

    #[test]
    fn the_list_is_in_order_and_of_countries() {
        let countries: Vec<_> = SECOND_LEVELS.iter().map(|(country, _)| *country).collect();
        assert!(countries.is_sorted() && countries.iter().all(|country| country.len() == 2));
        assert!(SECOND_LEVELS.iter().all(|(_, labels)| labels.is_sorted()));
    }
}
