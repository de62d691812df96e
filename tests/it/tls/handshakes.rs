//! What is agreed on: the certificate by name, the version, the protocol, the key exchange, the session.

use super::super::rig::{
    Authority, Client, Collector, Gate, Http2Client, ONLY_TLS12, ONLY_TLS13, Proxy, Script,
    TlsCaller, Upstream, get, reply,
};
use super::{config, start};

#[test]
fn each_name_gets_its_certificate_and_an_unknown_one_the_first() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let shop = authority.server(&["shop.test", "*.shop.test", "127.0.0.1"]);
    let api = authority.server(&["api.shop.test"]);
    let proxy = Proxy::start(config(&upstream, &[&shop, &api], ""));
    for (name, identity) in [
        ("shop.test", &shop),
        ("www.shop.test", &shop),
        ("api.shop.test", &api),
        ("127.0.0.1", &shop), // an address is no name for SNI
    ] {
        let way = TlsCaller::new(&authority, name).to(proxy.public());
        assert_eq!(get(way.address(), "/").text(), "hello", "{name}");
        assert_eq!(way.last().peer, [identity.der().to_vec()], "{name}");
    }
    // A name that no certificate has is shown the first, which its client does not take.
    let way = TlsCaller::new(&authority, "a.b.shop.test").to(proxy.public());
    Client::connect(way.address()).expect_close();
    let said = way.handshakes()[0].clone().expect_err("a wrong name");
    assert!(said.contains("not valid for name"), "{said}");
    proxy.finish();
}

#[test]
fn both_protocols_are_agreed_on_and_silence_means_http1() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    let caller = TlsCaller::new(&authority, "shop.test");
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let way = caller.clone().alpn(offered).to(proxy.public());
        if agreed == Some("h2") {
            let client = Http2Client::connect(way.address());
            assert_eq!(client.get("/").text(), "hello");
        } else {
            assert_eq!(get(way.address(), "/").text(), "hello");
        }
        assert_eq!(way.last().alpn.as_deref(), agreed, "{offered:?}");
    }
    for line in proxy.wait_log_lines(4) {
        assert_eq!(
            (&line["tls"], &line["scheme"]),
            (&"1.3".into(), &"https".into())
        );
    }
    for request in upstream.all_requests() {
        assert_eq!(request.headers.get("x-forwarded-proto"), Some("https"));
    }
    proxy.finish();
}

#[test]
fn a_listener_of_one_protocol_offers_no_other() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let server = authority.server(&["shop.test"]);
    let proxy = Proxy::start(config(&upstream, &[&server], "").listener("protocols: [http1]"));
    let both = TlsCaller::new(&authority, "shop.test").alpn(&["h2", "http/1.1"]);
    let way = both.to(proxy.public());
    assert_eq!(get(way.address(), "/").text(), "hello");
    assert_eq!(way.last().alpn.as_deref(), Some("http/1.1"));
    proxy.finish();

    let proxy = Proxy::start(config(&upstream, &[&server], "").listener("protocols: [http2]"));
    let way = both.to(proxy.public());
    assert_eq!(Http2Client::connect(way.address()).get("/").text(), "hello");
    assert_eq!(way.last().alpn.as_deref(), Some("h2"));
    proxy.finish();
}

#[test]
fn the_key_exchange_is_post_quantum_and_the_facts_are_told() {
    let (authority, upstream, collector) =
        (Authority::new(), Upstream::ok("hello"), Collector::start());
    let server = authority.server(&["shop.test"]);
    let proxy = Proxy::start(config(&upstream, &[&server], "").traces(collector.address()));
    let caller = TlsCaller::new(&authority, "shop.test").alpn(&["http/1.1"]);
    for (versions, version) in [(ONLY_TLS13, "1.3"), (ONLY_TLS12, "1.2")] {
        let way = caller.clone().versions(versions).to(proxy.public());
        assert_eq!(get(way.address(), "/").text(), "hello");
        let agreed = way.last();
        assert_eq!(agreed.version, version);
        let labels = [
            ("listener", "public"),
            ("version", version),
            ("resumed", "false"),
        ];
        let counted = proxy
            .metrics()
            .get("sightglass_tls_handshakes_total", &labels);
        assert_eq!(counted, Some(1.0));
        if version == "1.3" {
            assert_eq!(agreed.group.as_deref(), Some("X25519MLKEM768"));
        }
    }
    let metrics = proxy.metrics();
    let took = "sightglass_tls_handshake_duration_seconds";
    assert_eq!(
        metrics.sum(&format!("{took}_count"), &[("listener", "public")]),
        2.0
    );
    assert!(metrics.sum(&format!("{took}_sum"), &[]) < 2.0);

    let lines = proxy.wait_log_lines(2);
    assert_eq!(
        (&lines[0]["tls"], &lines[1]["tls"]),
        (&"1.3".into(), &"1.2".into())
    );
    let id = lines[0]["trace_id"]
        .as_str()
        .expect("a trace id")
        .to_owned();
    proxy.wait_until("the exchange is recorded", || {
        proxy.get_admin(&format!("/api/v1/exchanges/{id}")).status == 200
    });
    let known = proxy.get_admin(&format!("/api/v1/exchanges/{id}")).text();
    for fact in ["X25519MLKEM768", "TLS_AES_256_GCM_SHA384", "\"shop.test\""] {
        assert!(known.contains(fact), "{fact} in {known}");
    }
    proxy.finish_traced(&collector);
    let spans = collector.exchanges();
    let span = spans
        .iter()
        .find(|it| it.text("tls.protocol.version") == Some("1.3"));
    let span = span.expect("a span of TLS 1.3");
    assert_eq!(span.text("tls.cipher"), Some("TLS_AES_256_GCM_SHA384"));
    assert_eq!(span.text("tls.curve"), Some("X25519MLKEM768"));
    assert_eq!(span.text("url.scheme"), Some("https"));
    assert_eq!(span.integer("server.port"), Some(443));
}

#[test]
fn a_client_that_comes_again_resumes_its_session() {
    let (authority, upstream) = (Authority::new(), Upstream::ok("hello"));
    let proxy = start(&authority, &upstream);
    for (versions, version) in [(ONLY_TLS13, "1.3"), (ONLY_TLS12, "1.2")] {
        let caller = TlsCaller::new(&authority, "shop.test").versions(versions);
        let way = caller.to(proxy.public());
        for is_resumed in [false, true, true] {
            assert_eq!(get(way.address(), "/").text(), "hello");
            assert_eq!(way.last().is_resumed, is_resumed, "{version}");
        }
        let labels = [("version", version), ("resumed", "true")];
        let counted = proxy
            .metrics()
            .sum("sightglass_tls_handshakes_total", &labels);
        assert_eq!(counted, 2.0, "{version}");
    }
    proxy.finish();
}

#[test]
fn a_drain_answers_what_was_asked_over_tls_and_says_goodbye() {
    let (authority, gate) = (Authority::new(), Gate::new());
    let late = Script::new()
        .read_head()
        .wait(&gate)
        .send(reply(200, &[], "late"));
    let upstream = Upstream::script(late);
    let mut proxy = start(&authority, &upstream);
    let way = TlsCaller::new(&authority, "shop.test").to(proxy.public());
    let mut client = Client::connect(way.address());
    client.request("GET", "/", &[], "");
    // One that has not said a word yet does not hold up the end.
    let silent = Client::connect(proxy.public());
    proxy.wait_until("the request is stalled", || gate.waiting() == 1);
    proxy.signal("TERM");
    proxy.wait_until("it is not ready", || {
        proxy.get_admin("/readyz").status == 503
    });
    gate.open();
    assert_eq!(client.read_response().text(), "late");
    client.expect_close();
    assert!(proxy.wait_exit().success());
    drop(silent);
}
