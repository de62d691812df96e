//! Clients that are asked for a certificate: who may come in, what upstreams are told, and what nobody can make up.

use super::super::rig::{
    Authority, Client, Collector, Identity, ONLY_TLS12, ONLY_TLS13, Proxy, TlsCaller, Upstream,
    get, get_with,
};
use super::{config, errors, wait_error};

fn start(upstream: &Upstream, server: &Identity, clients: &Authority, mode: &str) -> Proxy {
    let auth = format!(
        "client_auth: {{ca: \"{}\", mode: {mode}}}",
        clients.ca().display()
    );
    Proxy::start(config(upstream, &[server], &auth))
}

#[test]
fn a_client_without_the_certificate_that_is_required_is_refused_and_counted() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
        let server = authority.server(&["shop.test"]);
        let proxy = start(&upstream, &server, &authority, "required");
        let caller = TlsCaller::new(&authority, "shop.test").versions(versions);
        let way = caller.clone().to(proxy.public());
        let mut client = Client::connect(way.address());
        let _ = client.try_send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n");
        client.expect_close();
        wait_error(&proxy, "tls_certificate_required");

        let known = authority.client("billing", &[]);
        let way = caller.identity(&known).to(proxy.public());
        assert_eq!(get(way.address(), "/").text(), "hello");
        assert_eq!(upstream.request_count(), 1);
        proxy.finish();
    }
}

#[test]
fn a_certificate_of_somebody_else_is_refused_also_where_none_is_needed() {
    for mode in ["required", "optional"] {
        let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
        let server = authority.server(&["shop.test"]);
        let proxy = start(&upstream, &server, &authority, mode);
        let stranger = Authority::new().client("billing", &[]);
        let caller = TlsCaller::new(&authority, "shop.test").identity(&stranger);
        let way = caller.to(proxy.public());
        let mut client = Client::connect(way.address());
        let _ = client.try_send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n");
        client.expect_close();
        wait_error(&proxy, "tls_bad_client_certificate");
        assert_eq!(upstream.request_count(), 0);
        proxy.finish();
    }
}

#[test]
fn upstreams_and_signals_are_told_who_the_client_is_also_when_it_resumes() {
    let (authority, upstream, collector) =
        (Authority::new(), Upstream::ok("hello"), Collector::start());
    let server = authority.server(&["shop.test"]);
    let auth = format!("client_auth: {{ca: \"{}\"}}", authority.ca().display());
    let config = config(&upstream, &[&server], &auth).traces(collector.address());
    let proxy = Proxy::start(config);
    let client = authority.client("billing, \"B\"", &["spiffe://shop/billing", "b.test"]);
    let caller = TlsCaller::new(&authority, "shop.test").identity(&client);
    let way = caller.to(proxy.public());
    for _ in 0..2 {
        let spoofed = [
            ("X-Forwarded-Client-Cert", "Hash=0;Subject=\"CN=root\""),
            ("X_Forwarded_Client_Cert", "Hash=0"),
            ("Client-Cert", ":AAAA:"),
            ("Client_Cert", ":AAAA:"),
            ("Client-Cert-Chain", ":AAAA:"),
        ];
        assert_eq!(get_with(way.address(), "/", &spoofed).text(), "hello");
    }
    assert!(way.last().is_resumed);

    for request in upstream.all_requests() {
        let told = request.headers.all("x-forwarded-client-cert");
        let [told] = told[..] else {
            panic!("one field: {told:?}")
        };
        let (hash, rest) = told.split_once(';').expect("elements");
        assert_eq!(hash.len(), "Hash=".len() + 64);
        assert_eq!(
            rest,
            "Subject=\"CN=billing\\, \\\"B\\\"\";URI=spiffe://shop/billing;DNS=b.test"
        );
        let told = request.headers.all("client-cert");
        let [told] = told[..] else {
            panic!("one field: {told:?}")
        };
        assert!(told.starts_with(":MII") && told.ends_with(':'), "{told}");
        for gone in [
            "client-cert-chain",
            "client_cert",
            "x_forwarded_client_cert",
        ] {
            assert!(!request.headers.contains(gone), "{gone}");
        }
    }
    for line in proxy.wait_log_lines(2) {
        assert_eq!(line["client_certificate"], "CN=billing\\, \\\"B\\\"");
    }
    proxy.finish_traced(&collector);
    for span in collector.exchanges() {
        assert_eq!(
            span.text("tls.client.subject"),
            Some("CN=billing\\, \\\"B\\\"")
        );
        assert_eq!(span.text("tls.client.hash.sha256").map(str::len), Some(64));
    }
}

#[test]
fn a_client_that_shows_nothing_cannot_say_who_it_is() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let proxy = start(&upstream, &server, &authority, "optional");
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let spoofed = [
        ("X-Forwarded-Client-Cert", "Hash=0"),
        ("Client-Cert", ":AAAA:"),
    ];
    assert_eq!(get_with(way.address(), "/", &spoofed).text(), "hello");
    let request = upstream.only_request();
    for gone in ["x-forwarded-client-cert", "client-cert"] {
        assert!(!request.headers.contains(gone), "{gone}");
    }
    assert!(
        proxy.wait_log_lines(1)[0]
            .get("client_certificate")
            .is_none()
    );
    assert_eq!(errors(&proxy, "tls_certificate_required"), 0.0);
    proxy.finish();
}

#[test]
fn what_a_trusted_proxy_says_of_its_client_stands_and_is_added_to() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let auth = format!("client_auth: {{ca: \"{}\"}}", authority.ca().display());
    let config = config(&upstream, &[&server], &auth).listener("trusted_proxies: [127.0.0.0/8]");
    let proxy = Proxy::start(config);
    let edge = authority.client("edge", &[]);
    let way = TlsCaller::new(&authority, "shop.test")
        .identity(&edge)
        .to(proxy.public());
    let said = [
        ("X-Forwarded-Client-Cert", "Hash=first"),
        ("Client-Cert", ":AAAA:"),
    ];
    assert_eq!(get_with(way.address(), "/", &said).text(), "hello");
    let request = upstream.only_request();
    let told = request.headers.all("x-forwarded-client-cert");
    assert_eq!((told.len(), told[0]), (2, "Hash=first"));
    assert!(told[1].ends_with("Subject=\"CN=edge\""), "{told:?}");
    assert_eq!(request.headers.all("client-cert"), [":AAAA:"]);
    proxy.finish();
}
