//! Certificate files: what `check` and the start say of them, and what happens when they change.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::rig::{
    Authority, Client, Gate, Identity, Proxy, Script, TlsCaller, TlsWay, Upstream, get,
};
use super::config;

/// The certificate that a fresh client is shown.
fn shown(way: &TlsWay) -> Vec<Vec<u8>> {
    get(way.address(), "/");
    way.last().peer
}

/// Waits until fresh clients are shown this certificate.
fn wait_shown(proxy: &Proxy, authority: &Authority, identity: &Identity) {
    proxy.wait_until("the new certificate is shown", || {
        let way = TlsCaller::new(authority, "shop.test").to(proxy.public());
        shown(&way) == [identity.der().to_vec()]
    });
}

#[test]
fn a_certificate_is_swapped_under_a_download_and_sessions_go_on() {
    let (authority, gate) = (Authority::new(), Gate::new());
    let download = Script::new()
        .read_head()
        .send("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n")
        .send_repeated([b'a'; 1000], 150)
        .wait(&gate)
        .send_repeated([b'b'; 1000], 150);
    let upstream = Upstream::script(download);
    let (old, new) = (
        authority.server(&["shop.test"]),
        authority.server(&["shop.test"]),
    );
    let proxy = Proxy::start(config(&upstream, &[&old], ""));
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let mut client = Client::connect(way.address());
    client.request("GET", "/", &[], "");
    let head = client.read_head();
    proxy.wait_until("half of it has come", || gate.waiting() == 1);

    old.replace_files(&new);
    proxy.wait_stderr("certificates changed");
    let fresh = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let other = Client::connect(fresh.address());
    proxy.wait_until("a handshake", || !fresh.handshakes().is_empty());
    assert_eq!(fresh.last().peer, [new.der().to_vec()]);
    drop(other);
    gate.open();
    assert_eq!(client.read_body(&head).bytes.len(), 300_000);

    // The client of before goes on with its session.
    let mut again = Client::connect(way.address());
    again.request("GET", "/", &[], "");
    assert_eq!(again.read_response().status, 200);
    assert!(way.last().is_resumed);
    proxy.finish();
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_old_one_and_is_told() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let (old, new) = (
        authority.server(&["shop.test"]),
        authority.server(&["shop.test"]),
    );
    let before = old.der().to_vec();
    let proxy = Proxy::start(config(&upstream, &[&old], ""));
    let whole = std::fs::read(&new.cert).expect("it was written");

    // A certificate without its key, as one finds it between two files.
    std::fs::write(&old.cert, &whole).expect("it can be written");
    proxy.wait_stderr("certificates refused");
    proxy.wait_stderr("does not belong to the certificate");
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    assert_eq!(shown(&way), std::slice::from_ref(&before));
    // One that has ended is no better than the one there is.
    let ended = authority.server_until(&["shop.test"], Authority::in_days(-3));
    old.replace_files(&ended);
    proxy.wait_stderr("has expired 3 days ago");
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    assert_eq!(shown(&way), [before]);
    // And all is well again.
    old.replace_files(&new);
    wait_shown(&proxy, &authority, &new);
    proxy.finish();
}

#[test]
fn a_symlink_that_is_swapped_is_noticed_and_sighup_looks_too() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let (old, new) = (
        authority.server(&["shop.test"]),
        authority.server(&["shop.test"]),
    );
    // As Kubernetes does it: files are links through `..data`, which is a link to the present directory.
    let dir = tempfile::TempDir::new().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let fill = |name: &str, identity: &Identity| {
        std::fs::create_dir(at(name)).expect("a directory");
        std::fs::copy(&identity.cert, at(name).join("tls.crt")).expect("a copy");
        std::fs::copy(&identity.key, at(name).join("tls.key")).expect("a copy");
    };
    let link = |target: &str, name: &str| {
        let beside = at("beside");
        std::os::unix::fs::symlink(target, &beside).expect("a link");
        std::fs::rename(beside, at(name)).expect("a swap");
    };
    fill("1", &old);
    fill("2", &new);
    link("1", "..data");
    for file in ["tls.crt", "tls.key"] {
        link(&format!("..data/{file}"), file);
    }
    let mounted = Identity {
        cert: at("tls.crt"),
        key: at("tls.key"),
        ..old.clone()
    };
    let proxy = Proxy::start(config(&upstream, &[&mounted], ""));
    wait_shown(&proxy, &authority, &old);
    link("2", "..data");
    wait_shown(&proxy, &authority, &new);
    proxy.signal("HUP");
    proxy.wait_stderr("configuration in force");
    wait_shown(&proxy, &authority, &new);
    proxy.finish();
}

#[test]
fn other_roots_of_clients_are_taken_up_and_end_old_sessions() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let other = Authority::new();
    let server = authority.server(&["shop.test"]);
    let auth = format!("client_auth: {{ca: \"{}\"}}", authority.ca().display());
    let proxy = Proxy::start(config(&upstream, &[&server], &auth));
    let caller = TlsCaller::new(&authority, "shop.test");
    let before = caller
        .clone()
        .identity(&authority.client("a", &[]))
        .to(proxy.public());
    assert_eq!(get(before.address(), "/").text(), "hello");

    std::fs::copy(other.ca(), authority.ca()).expect("a copy");
    proxy.wait_stderr("certificates changed");
    let after = caller.identity(&other.client("b", &[])).to(proxy.public());
    assert_eq!(get(after.address(), "/").text(), "hello");
    let mut client = Client::connect(before.address());
    let _ = client.try_send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n");
    client.expect_close();
    proxy.finish();
}

#[test]
fn the_end_of_a_certificate_is_a_metric_and_a_warning() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let (soon, later) = (
        Authority::in_days(5) + Duration::from_secs(3600),
        Authority::in_days(90),
    );
    let first = authority.server_until(&["shop.test"], soon);
    let second = authority.server_until(&["api.test"], later);
    let proxy = Proxy::start(config(&upstream, &[&first, &second], ""));
    let seconds = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).expect("after 1970");
        since.as_secs() as f64
    };
    for (identity, end) in [(&first, soon), (&second, later)] {
        let file = identity.cert.display().to_string();
        let labels = [("listener", "public"), ("certificate", file.as_str())];
        let told = proxy
            .metrics()
            .get("sightglass_tls_certificate_expiry_seconds", &labels);
        assert_eq!(told, Some(seconds(end)));
    }
    proxy.wait_stderr("a certificate ends soon");
    assert!(proxy.stderr().contains("days_left=5"), "{}", proxy.stderr());
    assert_eq!(proxy.stderr().matches("ends soon").count(), 1);
    proxy.finish();
}

#[test]
fn check_tells_every_file_that_cannot_be_used_with_its_place() {
    let authority = Authority::new();
    let (one, two) = (authority.server(&["a.test"]), authority.server(&["b.test"]));
    let ended =
        authority.server_until(&["c.test"], SystemTime::now() - Duration::from_secs(86_500));
    let dir = authority.dir().to_owned();
    let check = |certificates: &str| {
        let file = dir.join("sightglass.yaml");
        let yaml = format!(
            "listeners:\n  - name: public\n    address: 127.0.0.1:0\n    tls:\n      client_auth: {{ca: missing.pem}}\n      \
             certificates:\n{certificates}routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: web}}]\n\
             upstreams: [{{name: web, endpoints: [{{address: 127.0.0.1:9}}]}}]\n"
        );
        let yaml = if certificates.contains("expired") {
            yaml.replace("      client_auth: {ca: missing.pem}\n", "")
        } else {
            yaml
        };
        std::fs::write(&file, yaml).expect("it can be written");
        let output = Proxy::output(&["check", &file.display().to_string()]);
        let text = String::from_utf8(output.stdout).expect("text");
        (output.status.success(), text)
    };
    let (is_fine, text) = check("        - {cert: nowhere.pem, key: nowhere.key}\n");
    assert!(!is_fine);
    for told in [
        ":5:25: listeners[0].tls.client_auth.ca: cannot read missing.pem: there is no such file",
        ":7:18: listeners[0].tls.certificates[0].cert: cannot read nowhere.pem: there is no such file",
        ":7:36: listeners[0].tls.certificates[0].key: cannot read nowhere.key: there is no such file",
        "3 errors",
    ] {
        assert!(text.contains(told), "{told} in {text}");
    }
    let mixed = Identity {
        key: two.key.clone(),
        ..one.clone()
    };
    let (is_fine, text) = check(&format!("        - {} # expired\n", mixed.yaml()));
    assert!(!is_fine);
    assert!(
        text.contains("does not belong to the certificate"),
        "{text}"
    );
    let (is_fine, text) = check(&format!("        - {} # expired\n", ended.yaml()));
    assert!(is_fine, "{text}");
    let warning = "warning: listeners[0].tls.certificates[0].cert: the certificate in ";
    assert!(
        text.contains(warning) && text.contains("has expired a day ago"),
        "{text}"
    );
}
