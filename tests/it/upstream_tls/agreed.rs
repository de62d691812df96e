//! Handshakes that come to an agreement.

use super::super::rig::{
    Collector, Config, Http2Client, Http2Upstream, Kind, ONLY_TLS12, ONLY_TLS13, Proxy, Script,
    TlsServer, Upstream, get, post, reply,
};
use super::{Scene, single};

#[test]
fn a_request_goes_over_tls_to_an_address_that_the_certificate_names() {
    let scene = Scene::new(&["127.0.0.1"]);
    let door = scene.door();
    let proxy = single(scene.config(&door, ""));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    assert_eq!(
        post(proxy.public(), "/", "x".repeat(1 << 20)).text(),
        "hello"
    );
    let [Ok(handshake)] = &door.handshakes()[..] else {
        panic!("one handshake for both: {:?}", door.handshakes());
    };
    assert_eq!(handshake.version, "1.3");
    assert_eq!(handshake.group.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(
        handshake.server_name, None,
        "an address is no name (RFC 6066 §3)"
    );
    let lines = proxy.wait_log_lines(2);
    assert!(
        lines[0]["phases_ms"]["tls"].as_f64() > Some(0.0),
        "{}",
        lines[0]
    );
    assert!(lines[1]["phases_ms"]["tls"].is_null(), "{}", lines[1]);
    proxy.finish();
}

#[test]
fn the_name_that_is_asked_for_is_the_endpoints_or_server_name() {
    let scene = Scene::new(&["localhost", "shop.test"]);
    let door = scene.door();
    let named = format!("localhost:{}", door.address().port());
    let file = scene
        .config(&door, ", server_name: shop.test")
        .to_string()
        .replace(&format!("{}}}", door.address()), &format!("\"{named}\"}}"));
    let proxy = Proxy::start(&file);
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    proxy.finish();
    let proxy = Proxy::start(file.replace(", server_name: shop.test", ""));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    proxy.finish();
    let names: Vec<_> = door
        .handshakes()
        .into_iter()
        .filter_map(|handshake| handshake.ok()?.server_name)
        .collect();
    assert_eq!(names, ["shop.test", "localhost"]);
}

#[test]
fn both_versions_are_spoken_and_the_oldest_can_be_raised() {
    let scene = Scene::new(&["127.0.0.1"]);
    for (versions, version) in [(ONLY_TLS12, "1.2"), (ONLY_TLS13, "1.3")] {
        let door = scene
            .server()
            .versions(versions)
            .before(scene.upstream.address());
        let proxy = single(scene.config(&door, ""));
        assert_eq!(get(proxy.public(), "/").status, 200);
        assert_eq!(
            door.handshakes()[0].as_ref().map(|it| it.version),
            Ok(version)
        );
        proxy.wait_log_lines(1);
        proxy.finish();
    }
    let door = scene
        .server()
        .versions(ONLY_TLS12)
        .before(scene.upstream.address());
    let proxy = single(scene.config(&door, ", min_version: \"1.3\""));
    assert_eq!(get(proxy.public(), "/").status, 502);
    assert_eq!(proxy.wait_log_lines(1)[0]["outcome"], "tls_alert_received");
    proxy.finish();
}

#[test]
fn a_client_certificate_is_shown_to_whom_asks_for_one() {
    let scene = Scene::new(&["127.0.0.1"]);
    let us = scene.authority.client("sightglass", &[]);
    let door = scene
        .server()
        .require_client(&scene.authority)
        .before(scene.upstream.address());
    let proxy = single(scene.config(&door, &format!(", certificate: {}", us.yaml())));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let shown = door.handshakes().remove(0).map(|handshake| handshake.peer);
    assert_eq!(shown, Ok(vec![us.der().to_vec()]));
    proxy.wait_log_lines(1);
    proxy.finish();
}

#[test]
fn a_second_connection_goes_on_with_the_session_of_the_first() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let scene = Scene::new(&["127.0.0.1"]);
        let last = reply(200, &[("connection", "close")], "hello");
        let upstream = Upstream::script(Script::new().read_head().send(last).close());
        let door = scene.server().versions(versions).before(upstream.address());
        // Two workers: the sessions are shared by all.
        let proxy = Proxy::start(scene.config(&door, ""));
        for _ in 0..6 {
            assert_eq!(get(proxy.public(), "/").text(), "hello");
        }
        let resumed: Vec<bool> = door
            .handshakes()
            .into_iter()
            .map(|handshake| handshake.expect("each comes to an agreement").is_resumed)
            .collect();
        assert_eq!(resumed, [false, true, true, true, true, true]);
        // A reload that changes nothing keeps them.
        let reloads = "sightglass_config_reloads_total";
        proxy.signal("HUP");
        proxy.wait_until("it is reloaded", || {
            proxy.metrics().sum(reloads, &[]) == 1.0
        });
        assert_eq!(get(proxy.public(), "/").text(), "hello");
        let last = door.handshakes().pop().and_then(Result::ok);
        assert_eq!(last.map(|handshake| handshake.is_resumed), Some(true));
        proxy.wait_log_lines(7);
        proxy.finish();
    }
}

/// A door before one upstream of each protocol that answers with its name.
fn either(scene: &Scene, alpn: &[&str]) -> (Upstream, Http2Upstream, super::TlsDoor) {
    let (one, two) = (Upstream::ok("one"), Http2Upstream::ok("two"));
    let door = TlsServer::new(&scene.identity).alpn(alpn);
    let door = door.before_each(one.address(), two.address());
    (one, two, door)
}

#[test]
fn alpn_settles_what_is_spoken() {
    let scene = Scene::new(&["127.0.0.1"]);
    for (alpn, protocol, text, offered) in [
        (&["h2", "http/1.1"][..], "auto", "two", Some("h2")),
        (&["http/1.1"], "auto", "one", Some("http/1.1")),
        (&[], "auto", "one", None),
        (&["h2", "http/1.1"], "http1", "one", Some("http/1.1")),
        (&["http/1.1", "h2"], "http2", "two", Some("h2")),
    ] {
        let (one, two, door) = either(&scene, alpn);
        let config = scene
            .config(&door, "")
            .upstream(&format!("protocol: {protocol}"));
        let proxy = single(config);
        for _ in 0..3 {
            assert_eq!(get(proxy.public(), "/").text(), text, "{alpn:?} {protocol}");
        }
        let handshakes = door.handshakes();
        assert_eq!(
            handshakes.len(),
            1,
            "one connection carries all: {alpn:?} {protocol}"
        );
        let agreed = handshakes[0].as_ref().map(|it| it.alpn.as_deref());
        assert_eq!(agreed, Ok(offered));
        assert_eq!(one.request_count() + two.request_count(), 3);
        let seen = two.all_requests();
        assert!(seen.iter().all(|request| request.scheme == "https"));
        proxy.wait_log_lines(3);
        proxy.finish();
    }
}

#[test]
fn a_burst_opens_one_http2_connection_and_no_queue_where_it_turns_out_to_be_http1() {
    const BURST: usize = 20;
    let scene = Scene::new(&["127.0.0.1"]);
    for (alpn, connections) in [(&["h2"][..], 1..=1), (&["http/1.1"], 2..=BURST)] {
        let (_one, _two, door) = either(&scene, alpn);
        let proxy = single(scene.config(&door, "").upstream("protocol: auto"));
        let client = Http2Client::connect(proxy.public());
        for _ in 0..3 {
            let streams: Vec<_> = (0..BURST)
                .map(|_| client.open("GET", "/", &[]).expect("there is room"))
                .collect();
            for mut stream in streams {
                stream.send_last("", &[]).expect("the proxy reads");
                assert_eq!(
                    stream.read_response().expect("an answer").status.as_u16(),
                    200
                );
            }
        }
        let opened = door.handshakes().len();
        assert!(connections.contains(&opened), "{alpn:?}: {opened}");
        proxy.wait_log_lines(3 * BURST);
        proxy.finish();
    }
}

#[test]
fn the_span_of_an_attempt_says_that_it_went_over_tls() {
    let scene = Scene::new(&["127.0.0.1"]);
    let (_one, _two, door) = either(&scene, &["h2"]);
    let collector = Collector::start();
    let config: Config = scene.config(&door, "").upstream("protocol: auto");
    let proxy = single(config.traces(collector.address()));
    assert_eq!(get(proxy.public(), "/a?b=c").status, 200);
    let attempt = collector.wait_for(Kind::Client, 1).remove(0);
    let url = format!("https://{}/a?b=c", door.address());
    assert_eq!(attempt.text("url.full"), Some(url.as_str()));
    assert_eq!(attempt.text("tls.protocol.name"), Some("tls"));
    assert_eq!(attempt.text("tls.protocol.version"), Some("1.3"));
    assert_eq!(attempt.text("network.protocol.version"), Some("2"));
    let phases = attempt.event_names();
    assert!(
        phases.contains(&"connect") && phases.contains(&"tls"),
        "{phases:?}"
    );
    proxy.finish_traced(&collector);
}
