//! Chromium without a window: the client that most of a service's users come with.

use std::process::Command;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::Identity;
use super::super::program::Program;
use super::partner;

/// A running Chromium with one page open. It knows no name but `localhost` and asks no other machine.
pub(crate) struct Chromium {
    program: Program,
    profile: TempDir,
}

// === impl Chromium ===

impl Chromium {
    /// How long a page may take, the start of the browser included, where processors are busy.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

    /// Opens this page; of certificates it trusts the one with this key alone. None where it is not installed.
    pub(crate) fn open(url: &str, trusted: &Identity) -> Option<Self> {
        let trust = format!(
            "--ignore-certificate-errors-spki-list={}",
            key_hash(trusted)
        );
        Self::start(&[&trust, url])
    }

    /// Without a page, but with its DevTools on a port of 127.0.0.1: their address. None where it is not installed.
    pub(crate) fn with_dev_tools() -> Option<(Self, String)> {
        let mut browser = Self::start(&["--remote-debugging-port=0", "about:blank"])?;
        let address = browser.program.wait_ready(Self::PATIENCE, |program| {
            let lines = program.stderr_lines();
            let said = lines
                .iter()
                .find_map(|line| line.split_once("DevTools listening on "));
            said.map(|(_, address)| address.trim().to_owned())
        });
        Some((browser, address))
    }

    fn start(args: &[&str]) -> Option<Self> {
        let path = partner("chromium")?;
        let profile = TempDir::new().expect("a temporary directory can be made");
        let mut command = Command::new(path);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-extensions",
                "--no-proxy-server",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
                "--enable-logging=stderr",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(args)
            // What it keeps outside its profile goes there too.
            .env("HOME", profile.path())
            .env("XDG_CONFIG_HOME", profile.path())
            .env("XDG_CACHE_HOME", profile.path());
        let program = Program::start("chromium", command);
        Some(Self { program, profile })
    }

    /// What stands in the page's console: its own words, and what went wrong.
    pub(crate) fn console(&self) -> Vec<String> {
        let mut lines = self.program.stderr_lines();
        lines.retain(|line| line.contains(":CONSOLE"));
        lines
    }

    /// What it wrote, for messages.
    pub(crate) fn said(&self) -> String {
        self.program.said()
    }
}

/// The hash of the certificate's public key as Chromium wants it: SHA-256, base64.
fn key_hash(identity: &Identity) -> String {
    let (_, certificate) =
        X509Certificate::from_der(identity.der()).expect("the test's certificate is one");
    BASE64_STANDARD.encode(digest(&SHA256, certificate.public_key().raw))
}
