//! Layers, and what an operator reads when something is wrong.

use super::*;

const RELAY: &str = "bootstrap = [\"wss://relay.example/v1\"]\n";

fn load(toml: &str) -> Result<Config, ConfigError> {
    load_with(toml, &Flags::default())
}

fn load_with(toml: &str, flags: &Flags) -> Result<Config, ConfigError> {
    let layers = Figment::from(Serialized::defaults(Settings::default()));
    Config::from_layers(layers.merge(Toml::string(toml)), flags)
}

/// The sentence and its causes, as the program prints them.
fn sentence(toml: &str) -> String {
    format!("{:#}", anyhow::Error::from(load(toml).unwrap_err()))
}

#[test]
fn a_relay_is_all_that_must_be_said() {
    let config = load(RELAY).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.www, Path::new("www/dist"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, LogFormat::Text);
    assert!(!config.development);
    assert_eq!(config.relays[0].url.as_str(), "wss://relay.example/v1");
    assert_eq!(config.relays[0].node, None);
}

#[test]
fn everything_can_be_said() {
    let node = "0123456789abcdefABCDEF000000000000000000";
    let config = load(&format!(
        "listen = \"0.0.0.0:80\"\nwww = \"/srv/www\"\ndevelopment = true\n\
         bootstrap = [\"ws://127.0.0.1:9001/v1\"]\n\
         [[relay]]\nnode = \"{node}\"\nurl = \"wss://b.example/v1\"\n\
         [limits]\nconnections = 5\n[log]\nformat = \"json\"\n"
    ))
    .unwrap();
    assert!(config.development);
    assert_eq!(config.listen.port(), 80);
    assert_eq!(config.log, LogFormat::Json);
    assert_eq!(
        config.limits,
        Limits {
            connections: 5,
            ..Limits::default()
        }
    );
    assert_eq!(config.relays[0].node, None);
    let node = config.relays[1].node.unwrap();
    assert_eq!(node.to_string(), "0123456789abcdefabcdef000000000000000000");
}

#[test]
fn flags_win_over_the_file() {
    let flags = Flags {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        www: Some("elsewhere".into()),
        bootstrap: vec!["ws://localhost:2/v1".into()],
        development: true,
        log_format: Some(LogFormat::Json),
    };
    let config = load_with(RELAY, &flags).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.www, Path::new("elsewhere"));
    assert_eq!(config.relays.len(), 1);
    assert_eq!(config.relays[0].url.as_str(), "ws://localhost:2/v1");
    assert_eq!(config.log, LogFormat::Json);
    assert!(config.development);
}

#[test]
fn flags_that_are_not_given_leave_the_file_alone() {
    let toml = format!("development = true\nlisten = \"127.0.0.1:7\"\n{RELAY}");
    let config = load(&toml).unwrap();
    assert!(config.development);
    assert_eq!(config.listen.port(), 7);
}

#[test]
fn unknown_keys_are_named() {
    let text = sentence("lisen = \"127.0.0.1:1\"\n");
    assert!(text.starts_with("there is no setting `lisen`"), "{text}");
    assert!(text.contains("listen"), "{text}");
    let text = sentence("[limits]\nconections = 1\n");
    assert!(
        text.contains("`limits.conections`") && text.contains("connections"),
        "{text}"
    );
    let text = sentence("[[relay]]\nnode = \"\"\nurl = \"\"\nname = \"x\"\n");
    assert!(text.contains("name`"), "{text}");
}

#[test]
fn wrong_values_are_named() {
    let text = sentence("listen = \"localhost\"\n");
    assert!(
        text.contains("`listen`") && text.contains("socket address"),
        "{text}"
    );
    let text = sentence("development = \"perhaps\"\n");
    assert!(text.contains("`development`"), "{text}");
    let text = sentence("[log]\nformat = \"xml\"\n");
    assert!(text.contains("`log.format`"), "{text}");
}

#[test]
fn broken_toml_is_said_to_be_that() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.toml");
    std::fs::write(&path, "listen = [\n").unwrap();
    let error = Config::load(Some(&path), &Flags::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ConfigError::Syntax { .. }), "{error:?}");
    assert!(
        text.contains("api.toml is not TOML") && text.contains("line 1"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = Config::load(Some(Path::new("/nowhere/api.toml")), &Flags::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration file /nowhere/api.toml cannot be read"
    );
}

#[test]
fn unknown_keys_of_a_file_are_named_with_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.toml");
    std::fs::write(&path, "[log]\nlevel = 1\n").unwrap();
    let text = Config::load(Some(&path), &Flags::default())
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("there is no setting `log.level` in "),
        "{text}"
    );
    assert!(text.contains("api.toml; there are: format"), "{text}");
}

#[test]
fn relays_need_tls_outside_of_development() {
    let text = sentence("bootstrap = [\"ws://127.0.0.1:9001/v1\"]\n");
    assert!(
        text.contains("without TLS") && text.contains("`development`"),
        "{text}"
    );
    let text = sentence("development = true\nbootstrap = [\"ws://relay.example/v1\"]\n");
    assert!(text.contains("without TLS"), "{text}");
}

#[test]
fn relays_are_checked() {
    assert!(sentence("").contains("no relay is configured"));
    let text = sentence("bootstrap = [\"https://relay.example\"]\n");
    assert!(
        text.contains("https://relay.example") && text.contains("wss://"),
        "{text}"
    );
    let text = sentence(&format!(
        "{RELAY}[[relay]]\nnode = \"12\"\nurl = \"wss://b.example\"\n"
    ));
    assert!(text.contains("40 hexadecimal digits"), "{text}");
    let same = format!(
        "node = \"{}\"\nurl = \"wss://relay.example/v1\"\n",
        "0".repeat(40)
    );
    let text = sentence(&format!("{RELAY}[[relay]]\n{same}"));
    assert!(text.contains("twice"), "{text}");
}

#[test]
fn node_ids_have_forty_digits_and_nothing_else() {
    let url = RelayUrl::parse("wss://a.example").unwrap();
    for text in [
        "",
        "0",
        "zz",
        &"0".repeat(39),
        &"0".repeat(42),
        &"é".repeat(20),
        &"+1".repeat(20),
    ] {
        assert!(parse_node(text, &url).is_err(), "{text}");
    }
    assert!(parse_node(&"fF".repeat(20), &url).is_ok());
}

#[test]
fn limits_have_limits() {
    for toml in ["connections = 0", "head_bytes = 100", "header_seconds = 0"] {
        let text = sentence(&format!("{RELAY}[limits]\n{toml}\n"));
        assert!(text.contains("it may be"), "{text}");
    }
}
