//! The files that an upstream's TLS names: looked at by `check`, at the start and at each reload.

use std::fs;

use super::super::rig::{Proxy, get};
use super::{Scene, single};

/// What `check` says of this configuration.
fn check(yaml: &str) -> (bool, String) {
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("a.yaml");
    fs::write(&file, yaml).expect("a temporary directory takes files");
    let output = Proxy::output(&["check", &file.display().to_string()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[test]
fn check_tells_of_a_file_that_cannot_be_used_with_the_place_of_its_key() {
    let scene = Scene::new(&["127.0.0.1"]);
    let (one, other) = (
        scene.authority.client("one", &[]),
        scene.authority.client("two", &[]),
    );
    let empty = scene.authority.dir().join("empty.pem");
    fs::write(&empty, "nothing\n").expect("a temporary directory takes files");
    let door = scene.door();
    let (ca, empty) = (scene.authority.ca(), empty.display());
    let pair = |cert: &std::path::Path, key: &std::path::Path| {
        format!(
            ", certificate: {{cert: \"{}\", key: \"{}\"}}",
            cert.display(),
            key.display()
        )
    };
    let gone = scene.authority.dir().join("gone.pem");
    for (more, key, what) in [
        (
            pair(&gone, &one.key),
            "certificate.cert",
            "there is no such file".to_owned(),
        ),
        (
            pair(&one.cert, &gone),
            "certificate.key",
            "there is no such file".to_owned(),
        ),
        (
            pair(&one.cert, &other.key),
            "certificate.key",
            "does not belong to the certificate".to_owned(),
        ),
        (
            pair(&one.key, &one.key),
            "certificate.cert",
            "has no certificate in it".to_owned(),
        ),
        (
            pair(&one.cert, &one.cert),
            "certificate.key",
            "has no private key in it".to_owned(),
        ),
    ] {
        let yaml = scene.config(&door, &more).to_string();
        let (is_fine, told) = check(&yaml);
        assert!(!is_fine, "{told}");
        let line = yaml
            .lines()
            .position(|line| line.contains("tls: {ca"))
            .expect("it is there")
            + 1;
        let place = format!("a.yaml:{line}:");
        let key = format!(": upstreams[0].tls.{key}: ");
        assert!(
            told.contains(&place) && told.contains(&key) && told.contains(&what),
            "{told}"
        );
    }
    let yaml = scene.config(&door, "").to_string();
    let (is_fine, told) = check(&yaml);
    assert!(is_fine, "{told}");
    let (is_fine, told) = check(&yaml.replace(&ca.display().to_string(), &empty.to_string()));
    assert!(!is_fine);
    assert!(
        told.contains("upstreams[0].tls.ca: ") && told.contains("has no certificate in it"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_used_does_not_start_and_is_refused_at_a_reload() {
    let scene = Scene::new(&["127.0.0.1"]);
    let door = scene.door();
    let config = scene.config(&door, "").workers(1);
    let proxy = Proxy::start(&config);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let good = fs::read(scene.authority.ca()).expect("it is there");
    fs::write(scene.authority.ca(), "broken").expect("a temporary directory takes files");
    proxy.signal("HUP");
    proxy.wait_stderr("has no certificate in it");
    let failed = [("result", "failure")];
    let reloads = |labels: &[(&str, &str)]| {
        proxy
            .metrics()
            .sum("sightglass_config_reloads_total", labels)
    };
    proxy.wait_until("it is refused", || reloads(&failed) == 1.0);
    assert_eq!(
        get(proxy.public(), "/").text(),
        "hello",
        "the old one stays"
    );
    fs::write(scene.authority.ca(), good).expect("a temporary directory takes files");
    proxy.wait_log_lines(2);
    proxy.finish();

    let output = Proxy::output(&["run", "--config", "/nonexistent/a.yaml"]);
    assert!(!output.status.success());
}

#[test]
fn a_client_certificate_that_was_replaced_is_shown_after_a_reload() {
    let scene = Scene::new(&["127.0.0.1"]);
    let (old, new) = (
        scene.authority.client("old", &[]),
        scene.authority.client("new", &[]),
    );
    let strict = scene.server().require_client(&scene.authority);
    let door = strict.before(scene.upstream.address());
    let proxy = single(scene.config(&door, &format!(", certificate: {}", old.yaml())));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let old_der = old.der().to_vec();
    old.replace_files(&new);
    proxy.signal("HUP");
    proxy.wait_until("it is reloaded", || {
        proxy.metrics().sum("sightglass_config_reloads_total", &[]) == 1.0
    });
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let shown: Vec<_> = door
        .handshakes()
        .into_iter()
        .map(|handshake| handshake.expect("both come to an agreement").peer.remove(0))
        .collect();
    assert_eq!(shown, [old_der, new.der().to_vec()]);
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn run_to_a_name_over_https_asks_for_that_name_by_the_systems_roots() {
    let scene = Scene::new(&["localhost"]);
    let door = scene.door();
    let to = format!("https://localhost:{}", door.address().port());
    let args = [
        "run",
        "--to",
        &to,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let proxy = Proxy::start_args(&args);
    let response = get(proxy.public(), "/");
    assert_eq!(
        response.status, 502,
        "this authority is none of the system's"
    );
    assert!(
        response.text().contains("tls_certificate_error"),
        "{}",
        response.text()
    );
    drop(proxy);

    // SSL_CERT_FILE is how one adds to the system's roots, for us as for others.
    let mut command = Proxy::command(&args);
    command.env("SSL_CERT_FILE", scene.authority.ca());
    let proxy = Proxy::start_command(command);
    assert_eq!(get(proxy.public(), "/a").text(), "hello");
    let request = scene.upstream.only_request();
    let host = request.headers.get("host").map(str::to_owned);
    assert_eq!(host, Some(to.replace("https://", "")));
    drop(proxy);
}
