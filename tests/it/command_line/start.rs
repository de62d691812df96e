//! What keeps it from running: each is one plain sentence on stderr and exit code 1, and nothing was started.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use super::super::rig::{Config, Proxy, Upstream, get};
use super::{stderr, stdout};

fn run_file(file: &Path) -> Output {
    Proxy::output(&["run", "--config", &file.display().to_string()])
}

/// Asserts the sentence that says why it does not run.
fn assert_refused(output: &Output, parts: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(stdout(output), "");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("sightglass: "), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_a_sentence() {
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let missing = dir.path().join("missing.yaml");
    assert_refused(
        &run_file(&missing),
        &["missing.yaml", "there is no such file"],
    );
    assert_refused(&run_file(dir.path()), &["it is a directory"]);
    let binary = dir.path().join("binary.yaml");
    std::fs::write(&binary, b"listeners:\n  - name: \xff\n").expect("it takes files");
    assert_refused(&run_file(&binary), &["not UTF-8 text"]);
    let empty = dir.path().join("empty.yaml");
    std::fs::write(&empty, "# nothing yet\n").expect("it takes files");
    assert_refused(&run_file(&empty), &["the file is empty", "--print-config"]);
}

#[test]
fn a_broken_file_never_starts() {
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("broken.yaml");
    let upstream = Upstream::ok("hello");
    let good = Config::new(upstream.address()).to_string();
    for (broken, place) in [
        (
            good.replace("upstream: web", "upstream: wob"),
            ":7:15: routes[0].upstream: ",
        ),
        (format!("{good}listeners: []\n"), "listeners"),
        (good.replace("routes:", "routes: ["), "broken.yaml:"),
        (
            good.replace("127.0.0.1:0", "127.0.0.1:x"),
            "listeners[0].address",
        ),
    ] {
        std::fs::write(&file, &broken).expect("it takes files");
        let output = run_file(&file);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{broken}\n{said}");
        assert!(
            said.contains(place) && said.contains("broken.yaml:"),
            "{place}: {said}"
        );
        assert!(!said.contains("ready"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_port_that_another_process_has_is_told() {
    let upstream = Upstream::ok("hello").address().to_string();
    let other = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let taken = other.local_addr().expect("it is bound").to_string();
    let free = "127.0.0.1:0";
    for (listen, admin, what) in [
        (taken.as_str(), free, "public"),
        (free, taken.as_str(), "admin"),
    ] {
        let output = Proxy::output(&[
            "run", "--to", &upstream, "--listen", listen, "--admin", admin,
        ]);
        assert_refused(&output, &[what, &taken, "already in use"]);
    }
}

#[test]
fn a_port_that_a_second_sightglass_has_is_told_and_no_traffic_is_taken() {
    let upstream = Upstream::ok("hello");
    let address = upstream.address().to_string();
    let first = Proxy::start(Config::new(upstream.address()));
    let (public, admin) = (first.public().to_string(), first.admin().to_string());
    let free = "127.0.0.1:0";
    for (listen, admin, taken) in [
        (public.as_str(), free, &public),
        (free, admin.as_str(), &admin),
    ] {
        let output = Proxy::output(&[
            "run", "--to", &address, "--listen", listen, "--admin", admin,
        ]);
        assert_refused(&output, &[taken, "already in use"]);
    }
    assert_eq!(get(first.public(), "/").text(), "hello");
    first.finish();
}

#[test]
fn an_address_that_is_not_ours_is_told() {
    let output = Proxy::output(&[
        "run",
        "--to",
        "127.0.0.1:9",
        "--listen",
        "192.0.2.1:8080",
        "--admin",
        "127.0.0.1:0",
    ]);
    assert_refused(
        &output,
        &["192.0.2.1:8080", "not an address of this machine"],
    );
}

#[test]
fn words_that_make_no_plan_are_told() {
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--to", "nonsense"], &["--to nonsense"]),
        (&["--to", "127.0.0.1:99999"], &["--to 127.0.0.1:99999"]),
        (
            &["--to", "https://a.test", "80"],
            &["no endpoints of one service"],
        ),
        (
            &["--to", "http://a.test/path"],
            &["no path", "http://a.test"],
        ),
        (&["--to", "9001", ":9001"], &["named twice"]),
        (
            &["--to", "9001", "--listen", "localhost:80"],
            &["--listen localhost:80"],
        ),
        (&["--to", "9001", "--otlp", "ftp://x"], &["--otlp ftp://x"]),
        (
            &["--to", "9001", "--listen", "7000", "--admin", "7000"],
            &["7000", "admin"],
        ),
    ];
    for (words, parts) in cases {
        let words = [&["run"], words].concat();
        assert_refused(&Proxy::output(&words), parts);
    }
}

#[test]
fn what_is_wrong_with_the_admin_address_is_not_blamed_on_another() {
    let output = Proxy::output(&["run", "--to", "9001", "--admin", "localhost:80"]);
    assert_refused(&output, &["--admin localhost:80"]);
    let output = Proxy::output(&["run", "--to", "9001", "--listen", "7000", "--admin", "7000"]);
    assert!(!stderr(&output).contains("9901"), "{}", stderr(&output));
}

#[test]
fn unknown_arguments_are_refused_with_a_hint() {
    let cases: [(&[&str], &str); 6] = [
        (&["run", "--tow", "127.0.0.1:9"], "'--to'"),
        (&["run"], "--config"),
        (
            &["run", "--config", "a.yaml", "--to", "9001"],
            "cannot be used with",
        ),
        (&["run", "--config", "a.yaml", "--listen", ":1"], "--listen"),
        (&["chek", "a.yaml"], "'check'"),
        (&["demo", "--rate", "0"], "0"),
    ];
    for (words, hint) in cases {
        let output = Proxy::output(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(hint), "{words:?}: {said}");
    }
}
