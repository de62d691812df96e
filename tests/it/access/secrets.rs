//! That what is secret is told nowhere: no page, no line, no span, no message.

use std::io::Write as _;

use super::super::rig::{Collector, Config, Proxy, Upstream, get_with};
use super::{ADA, RIGHT, WRONG};

/// A file that holds this.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(text.as_bytes()).expect("it takes bytes");
    file
}

#[test]
fn hashes_come_from_the_environment_and_from_files_too() {
    let upstream = Upstream::ok("in");
    let (hash, list) = (
        file(&format!("{ADA}\n")),
        file(&format!("# the shop's\n\nada:{ADA}\n")),
    );
    for access in [
        "users: [{name: ada, hash: {env: ADAS_HASH}}]".to_owned(),
        format!(
            "users: [{{name: ada, hash: {{file: {}}}}}]",
            hash.path().display()
        ),
        format!("file: {}", list.path().display()),
    ] {
        let route = format!("access: {{basic: {{{access}}}}}");
        let config = Config::new(upstream.address()).route(&route);
        let proxy = Proxy::start_with(config, |command| {
            command.env("ADAS_HASH", ADA);
        });
        assert_eq!(
            get_with(proxy.public(), "/", &[RIGHT]).status,
            200,
            "{access}"
        );
        assert_eq!(
            get_with(proxy.public(), "/", &[WRONG]).status,
            401,
            "{access}"
        );
        let shown = proxy.get_admin("/api/v1/config").json();
        let basic = &shown["config"]["routes"][0]["access"]["basic"];
        assert_eq!(basic["users"][0]["name"], "ada");
        assert_eq!(basic["users"][0]["hash"], "(masked)");
        assert_eq!(basic["realm"], "web", "the route's name");
        proxy.finish();
    }
}

/// Each word of the configuration that somebody must not read has this in it.
const MARK: &str = "NEVERTOBESEEN";

#[test]
fn no_secret_is_on_any_page_line_or_span() {
    let upstream = Upstream::ok("in");
    let collector = Collector::start();
    let token = file(&format!("{MARK}-token\n"));
    let config = Config::new(upstream.address())
        .traces(collector.address())
        .admin(&format!("token_file: {}", token.path().display()))
        .route(&format!(
            "request_headers: {{set: {{authorization: {MARK}-a, x-api-key: {MARK}-b, cookie: {MARK}-c, x-team: shop}}}}"
        ))
        .route(&super::basic(ADA));
    let proxy = Proxy::start(config);
    let password = [RIGHT, ("x-request-id", "r1")];
    let asked = get_with(proxy.public(), &format!("/x?token={MARK}-d&v=2"), &password);
    assert_eq!(asked.status, 200);
    get_with(proxy.public(), "/x", &[WRONG]);
    assert_eq!(
        upstream.only_request().headers.get("authorization"),
        Some(format!("{MARK}-a").as_str()),
        "the route's own is sent"
    );
    proxy.wait_log_lines(2);
    let mut told = proxy.stdout() + &proxy.stderr();
    for path in [
        "/",
        "/metrics",
        "/livez",
        "/readyz",
        "/api/v1/exchanges",
        "/api/v1/upstreams",
        "/api/v1/routes",
        "/api/v1/config",
        "/api/v1/telemetry",
        "/api/v1/process",
    ] {
        let page = proxy.get_admin(path);
        assert_eq!(page.status, 200, "{path}");
        told += &page.text();
    }
    super::wait_until("the spans are there", || collector.exchanges().len() == 2);
    told += &format!("{:?}", collector.spans());
    for secret in [
        MARK,
        ADA,
        "$2y$",
        "YWRhOnNlY3JldA",
        "YWRhOndyb25n",
        "ada:secret",
    ] {
        let at = told.find(secret);
        let around = at.map(|at| &told[at.saturating_sub(80)..(at + 40).min(told.len())]);
        assert_eq!(around, None, "{secret}");
    }
    assert!(told.contains("x-team"), "what is no secret is shown");
    proxy.finish_traced(&collector);
}

#[test]
fn the_page_says_what_is_in_force_and_since_when() {
    let upstream = Upstream::ok("in");
    let config = Config::new(upstream.address());
    let proxy = Proxy::start(&config);
    let before = proxy.get_admin("/api/v1/config").json();
    assert_eq!(before["generation"], 1);
    assert_eq!(
        before["config"]["routes"][0]["timeout"]["head"], "1m",
        "a default is filled in"
    );
    proxy.write_config(config.route("timeout: {head: 7s}"));
    proxy.signal("HUP");
    proxy.wait_until("the reload", || {
        proxy.get_admin("/api/v1/config").json()["generation"] == 2
    });
    let after = proxy.get_admin("/api/v1/config").json();
    assert_eq!(after["config"]["routes"][0]["timeout"]["head"], "7s");
    assert_ne!(after["hash"], before["hash"]);
    assert!(after["loaded_unix_seconds"].as_f64() > before["loaded_unix_seconds"].as_f64());
    proxy.finish();
}

#[test]
fn a_mistake_in_a_secret_is_told_without_it() {
    let wrong = file(&format!("ada:{MARK}\nnocolon{MARK}\n"));
    let yaml = Config::new(std::net::SocketAddr::from(([127, 0, 0, 1], 9))).route(&format!(
        "access: {{basic: {{file: {}}}}}",
        wrong.path().display()
    ));
    let written = file(&yaml.to_string());
    let output = Proxy::output(&["check", &written.path().display().to_string()]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        told.contains("htpasswd -nB -C 10 NAME") && told.contains("line 2"),
        "{told}"
    );
    assert!(!told.contains(MARK), "{told}");
}
