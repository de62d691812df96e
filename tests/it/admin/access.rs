//! Who may: peers, names, origins, and the three pages that answer everybody.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::super::rig::{Config, Proxy, Upstream, get_with};
use super::PAGES;

/// The pages that answer everybody.
const OPEN: [&str; 3] = ["/metrics", "/livez", "/readyz"];

fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

/// An address of this machine that is not on loopback; none, with a line on stderr, where it has none.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // Nothing is sent: the kernel only says which address it would send from.
    let address = socket
        .connect(("192.0.2.1", 9))
        .and_then(|()| socket.local_addr());
    let own = address
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    if own.is_none() {
        eprintln!("skipped: this machine has no address besides loopback");
    }
    own
}

#[test]
fn a_name_that_was_made_to_point_here_gets_nothing_but_the_open_pages() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address()).admin("hosts: [edge.internal]");
    let proxy = Proxy::start(config);
    let port = proxy.admin().port();
    for (host, may) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("[::1]:{port}"), true),
        (format!("localhost:{port}"), true),
        ("dev.localhost".to_owned(), true),
        ("EDGE.internal".to_owned(), true),
        ("192.168.0.7".to_owned(), true),
        ("evil.test".to_owned(), false),
        (format!("localhost.evil.test:{port}"), false),
        ("127.0.0.1.evil.test".to_owned(), false),
        ("user@localhost".to_owned(), false),
    ] {
        for (path, _) in PAGES {
            let answer = get_with(proxy.admin(), path, &[("host", &host)]);
            let wanted = if may || is_open(path) { 200 } else { 403 };
            assert_eq!(answer.status, wanted, "{host} {path}");
        }
    }
    proxy.finish();
}

#[test]
fn a_page_of_another_origin_reads_nothing() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let own = format!("http://{}", proxy.admin());
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[("origin", &own)], true),
        (&[("origin", "http://evil.test")], false),
        (&[("origin", "null")], false),
        (&[("origin", "http://127.0.0.1:1")], false),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        // A link that somebody follows from elsewhere.
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
            true,
        ),
    ];
    for (headers, may) in cases {
        for path in ["/", "/api/v1/exchanges", "/api/v1/config"] {
            let answer = proxy.get_admin_with(path, headers);
            assert_eq!(
                answer.status,
                if may { 200 } else { 403 },
                "{headers:?} {path}"
            );
            assert!(answer.header("access-control-allow-origin").is_none());
        }
        for path in OPEN {
            assert_eq!(proxy.get_admin_with(path, headers).status, 200, "{path}");
        }
    }
    proxy.finish();
}

#[test]
fn a_stranger_needs_the_token_or_a_place_in_allow() {
    let Some(own) = own_address() else { return };
    let upstream = Upstream::ok("hello");
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let token = dir.path().join("admin.token");
    fs::write(&token, "s3cret-token\n").expect("a temporary directory takes files");
    let start = |keys: &str| {
        let config = Config::new(upstream.address()).admin(keys).to_string();
        let config = config.replace(
            "admin:\n  address: 127.0.0.1:0",
            "admin:\n  address: 0.0.0.0:0",
        );
        Proxy::start(config)
    };
    let status = |proxy: &Proxy, path: &str, headers: &[(&str, &str)]| {
        let address = SocketAddr::new(own, proxy.admin().port());
        let host = address.to_string();
        let headers = [&[("host", host.as_str())], headers].concat();
        get_with(address, path, &headers).status
    };
    let with_token = start(&format!("token_file: {}", token.display()));
    let bearer = |token: &str| format!("Bearer {token}");
    for path in OPEN {
        assert_eq!(status(&with_token, path, &[]), 200, "{path}");
    }
    for (shown, wanted) in [
        (None, 403),
        (Some(bearer("s3cret-token")), 200),
        (Some("bearer s3cret-token".to_owned()), 200),
        (Some(bearer("s3cret-toke")), 403),
        (Some(bearer("s3cret-tokens")), 403),
        (Some(bearer("")), 403),
        (Some("Basic s3cret-token".to_owned()), 403),
    ] {
        let headers: Vec<(&str, &str)> = shown
            .iter()
            .map(|shown| ("authorization", shown.as_str()))
            .collect();
        assert_eq!(
            status(&with_token, "/api/v1/exchanges", &headers),
            wanted,
            "{shown:?}"
        );
    }
    // What stands in a header says nothing of who the peer is.
    let headers = [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
    ];
    assert_eq!(status(&with_token, "/", &headers), 403);

    let without = start("");
    let headers = [("authorization", "Bearer s3cret-token")];
    assert_eq!(
        status(&without, "/", &headers),
        403,
        "there is no token to show"
    );
    let allowed = start(&format!("allow: [{own}/32]"));
    assert_eq!(status(&allowed, "/", &[]), 200);
    assert_eq!(allowed.get_admin("/").status, 200, "loopback may as well");
}
