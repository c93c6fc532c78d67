//! Files that are shipped beside the relay say what is true of it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use support::{PATIENCE, binary, data_dir, free_ports};
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

const UNIT: &str = include_str!("../deploy/zentalk-relay.service");
const CONTAINERFILE: &str = include_str!("../deploy/Containerfile");
const PAGE: &str = include_str!("../../docs/OPERATORS.md");

/// The value of a key of the unit.
fn unit(key: &str) -> &'static str {
    let value = |line: &'static str| line.strip_prefix(key)?.strip_prefix('=');
    UNIT.lines().find_map(value).expect(key)
}

/// A relay that was started here; killed when dropped.
struct Started(Child);

impl Started {
    fn end(&mut self, signal: &str) -> ExitStatus {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
        self.0.wait().unwrap()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_unit_and_the_page_name_the_same_places() {
    let start: Vec<_> = unit("ExecStart").split_whitespace().collect();
    assert_eq!(start[1..3], ["run", "--config"]);
    let (program, config) = (Path::new(start[0]), Path::new(start[3]));
    let folder = program.parent().unwrap().display();
    let installs = format!("install -m 755 target/release/zentalk-relay {folder}/\n");
    assert!(PAGE.contains(&installs), "{installs}");
    let makes = format!("init --config {}", config.display());
    assert!(PAGE.contains(&makes), "{makes}");
    let data = format!("--data-dir /var/lib/{} ", unit("StateDirectory"));
    assert!(PAGE.contains(&data), "{data}");
    let user = unit("User");
    let adds = format!("useradd --system --home-dir /var/lib/zentalk-relay {user}\n");
    assert!(PAGE.contains(&adds) && unit("Group") == user, "{adds}");
}

#[test]
fn the_units_commands_start_reload_and_end_a_relay() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (data, port) = (data_dir(home, 0), free_ports(1)[0]);
    let config = home.join("relay.toml");
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\nurl = \"ws://127.0.0.1:{port}/v1\"\ndata_dir = {data:?}\nallow_private = true\n"
    );
    fs::write(&config, text).unwrap();
    let manager = UnixDatagram::bind(home.join("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    // What `Type=` says decides what the manager waits for.
    assert_eq!(unit("Type"), "notify");
    let words = unit("ExecStart").split_whitespace().skip(1);
    let theirs = |word| match word {
        "/etc/zentalk-relay/relay.toml" => config.as_os_str(),
        word => OsStr::new(word),
    };
    let mut relay = binary();
    relay
        .args(words.map(theirs))
        .env("NOTIFY_SOCKET", home.join("notify"));
    let log = fs::File::create(home.join("log")).unwrap();
    let mut relay = Started(relay.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    assert!(told().contains("READY=1"));

    let pid = relay.0.id().to_string();
    let reload = unit("ExecReload").replace("$MAINPID", &pid);
    let mut words = reload.split_whitespace();
    let reloading = Command::new(words.next().unwrap()).args(words).status();
    assert!(reloading.unwrap().success(), "{reload}");
    assert!(told().contains("RELOADING=1"));
    assert!(told().contains("READY=1"));
    assert!(relay.end("-TERM").success());
    assert!(told().contains("STOPPING=1"));
}

/// Instructions of the image that is run, with what follows each.
fn last_stage() -> Vec<(&'static str, String)> {
    let lines = CONTAINERFILE.lines().filter(|line| !line.starts_with('#'));
    let mut stage = Vec::<(&str, String)>::new();
    let mut goes_on = false;
    for line in lines.filter(|line| !line.is_empty()) {
        let text = line.trim_end_matches('\\').trim();
        match (stage.last_mut(), text.split_once(' ')) {
            (Some((_, more)), _) if goes_on => {
                more.push(' ');
                more.push_str(text);
            }
            (_, Some((instruction, rest))) => {
                if instruction == "FROM" {
                    stage.clear();
                }
                stage.push((instruction, rest.to_owned()));
            }
            (_, None) => panic!("{line}"),
        }
        goes_on = line.ends_with('\\');
    }
    stage
}

fn instruction<'a>(stage: &'a [(&str, String)], name: &str) -> &'a str {
    let named: Vec<_> = stage.iter().filter(|(its, _)| *its == name).collect();
    assert_eq!(named.len(), 1, "{name}");
    &named[0].1
}

fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).expect("a list as JSON has it")
}

/// `NAME=value`, each.
fn variables<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let variable = |word: &'a str| word.split_once('=').expect("a value");
    words
        .map(variable)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The words of the command that the Containerfile's comment runs the image with.
fn documented_run() -> Vec<&'static str> {
    let comment = CONTAINERFILE
        .lines()
        .take_while(|line| line.starts_with('#'));
    let words = comment.flat_map(|line| line.trim_start_matches('#').split_whitespace());
    let from_run = words.skip_while(|word| *word != "run");
    from_run
        .take_while(|word| *word != "zentalk-relay")
        .collect()
}

fn options(words: &[&'static str], name: &str) -> Vec<&'static str> {
    let pairs = words.windows(2).filter(|pair| pair[0] == name);
    pairs.map(|pair| pair[1]).collect()
}

#[test]
fn the_image_serves_with_the_documented_variables_and_is_healthy_then() {
    let home = tempfile::tempdir().unwrap();
    let data = data_dir(home.path(), 0);
    let stage = last_stage();
    let run = documented_run();
    let mut environment = variables(instruction(&stage, "ENV").split_whitespace());
    environment.extend(variables(options(&run, "-e").into_iter()));
    let replace = |environment: &mut BTreeMap<_, _>, name: &str, value: &str| {
        let old = environment.insert(name.to_owned(), value.to_owned());
        assert!(old.is_some(), "{name} is not among those of the image");
    };
    let folder = data.to_str().unwrap();
    replace(&mut environment, "ZENTALK_RELAY_DATA_DIR", folder);
    let in_image = |arguments: &[String], environment: &BTreeMap<String, String>| {
        assert_eq!(arguments[0], "zentalk-relay");
        let mut command = binary();
        command.args(&arguments[1..]).envs(environment);
        command
    };
    let entry = words(instruction(&stage, "ENTRYPOINT"));
    // Everything else as it is documented, without asking anybody for a certificate.
    let asked = [&entry[..], &["node-id".to_owned()]].concat();
    let asked = in_image(&asked, &environment).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");

    let port = free_ports(1)[0];
    let (place, url) = (
        format!("127.0.0.1:{port}"),
        format!("ws://127.0.0.1:{port}/v1"),
    );
    replace(&mut environment, "ZENTALK_RELAY_LISTEN", &place);
    replace(&mut environment, "ZENTALK_RELAY_URL", &url);
    replace(&mut environment, "ZENTALK_RELAY_TLS__MODE", "off");
    environment.insert("ZENTALK_RELAY_ALLOW_PRIVATE".to_owned(), "true".to_owned());
    let (_, health) = instruction(&stage, "HEALTHCHECK")
        .split_once(" CMD ")
        .unwrap();
    let health = words(health);
    let is_healthy = || {
        in_image(&health, &environment)
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(!is_healthy(), "nothing runs");
    let start = [entry, words(instruction(&stage, "CMD"))].concat();
    let log = fs::File::create(home.path().join("log")).unwrap();
    let child = in_image(&start, &environment)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn();
    let mut relay = Started(child.unwrap());
    let mut line = String::new();
    let stdout = relay.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert!(
        line.starts_with("ready node=") && line.contains(&url),
        "{line}"
    );
    assert!(is_healthy());
    let signal = instruction(&stage, "STOPSIGNAL");
    let signal = signal.strip_prefix("SIG").unwrap();
    assert!(relay.end(&format!("-{signal}")).success());
    assert!(!is_healthy(), "nothing runs any more");
}

#[test]
fn the_image_needs_no_rights_and_its_parts_fit_together() {
    let stage = last_stage();
    let run = documented_run();
    let (user, _) = instruction(&stage, "USER").split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0, "a number, and not root's");
    let environment = variables(instruction(&stage, "ENV").split_whitespace());
    let listen: SocketAddr = environment["ZENTALK_RELAY_LISTEN"].parse().unwrap();
    let port = listen.port().to_string();
    assert!(listen.port() >= 1024, "which takes no capability");
    assert_eq!(instruction(&stage, "EXPOSE"), port);
    assert_eq!(options(&run, "-p"), [format!("443:{port}")]);
    let data = &environment["ZENTALK_RELAY_DATA_DIR"];
    assert_eq!(instruction(&stage, "VOLUME"), data);
    assert_eq!(options(&run, "-v"), [format!("relay:{data}")]);
    let makes = format!("install -d -o {user} -g {user} -m 700 {data}");
    assert!(instruction(&stage, "RUN").ends_with(&makes));
    let copies = instruction(&stage, "COPY");
    assert!(copies.ends_with("/target/release/zentalk-relay /usr/local/bin/zentalk-relay"));
}

#[test]
fn what_git_does_not_keep_is_no_part_of_an_image() {
    let left_out: BTreeSet<_> = include_str!("../../.dockerignore").lines().collect();
    for line in include_str!("../../.gitignore").lines().chain([".git"]) {
        let path = line.trim_matches('/');
        let anywhere = format!("**/{}", path.rsplit('/').next().unwrap());
        let is_left_out = left_out.contains(path) || left_out.contains(anywhere.as_str());
        assert!(is_left_out, "{line}");
    }
}
