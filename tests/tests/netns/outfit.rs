//! What relays are given beside their network: certificates of an authority that nobody else knows, and wrong clocks.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use zentalk_tests::live::Clock;
use zentalk_tests::live::by_hand::who_trusts;

const CLOCK: &str = include_str!("clock.c");

/// Issues certificates for addresses.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_file: PathBuf,
}

impl Authority {
    /// A new one, whose root is in a file of `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let root_file = folder.join("root.pem");
        fs::write(&root_file, root.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root: root.der().clone(),
            root_file,
        }
    }

    /// Writes a certificate for an address and its key into a new folder; the lines of a relay's configuration that use it.
    pub(crate) fn issue(&self, address: Ipv4Addr, folder: &Path) -> String {
        fs::create_dir(folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([address.to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate_file, key_file) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificate_file, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        format!(
            "[tls]\nmode = \"files\"\ncertificate = {certificate_file:?}\nkey = {key_file:?}\nroots = {:?}\n",
            self.root_file
        )
    }

    /// Who trusts this one only.
    pub(crate) fn client(&self) -> Arc<rustls::ClientConfig> {
        Arc::new(who_trusts(&self.root))
    }
}

/// Makes processes see a wrong time. The kernel has one wall clock for all namespaces.
pub(crate) struct ClockMaker {
    library: PathBuf,
}

impl ClockMaker {
    /// Compiles it into `folder`, with the compiler that the workspace itself needs.
    pub(crate) fn new(folder: &Path) -> Self {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, CLOCK).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        let compiled = compiler.arg(&library).arg(&source).arg("-ldl").status();
        assert!(compiled.expect("a C compiler").success());
        Self { library }
    }

    /// Words before a program that has this clock.
    pub(crate) fn launcher(&self, clock: Clock) -> Vec<String> {
        let seconds = match clock {
            Clock::Right => return Vec::new(),
            Clock::Ahead(by) => i64::try_from(by.as_ms() / 1000).unwrap(),
            Clock::Behind(by) => -i64::try_from(by.as_ms() / 1000).unwrap(),
        };
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("ZENTALK_TEST_CLOCK_OFF={seconds}"),
        ]
    }
}
