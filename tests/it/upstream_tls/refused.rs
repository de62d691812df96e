//! Handshakes that come to nothing: one word, one sentence, nothing sent, and another endpoint may be tried.

use std::time::Duration;

use super::super::rig::{
    Authority, Config, Http2Upstream, Proxy, Script, TlsServer, Upstream, get, reply,
};
use super::{Scene, single};

/// Asks once; the outcome, and the detail that the log has of it.
fn ask(config: Config) -> (u16, String, String) {
    let proxy = single(config);
    let response = get(proxy.public(), "/");
    let line = proxy.wait_log_lines(1).remove(0);
    let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(line["side"], "upstream", "{line}");
    assert_eq!(line["attempts"][0]["outcome"], line["outcome"], "{line}");
    assert!(
        !response.text().contains("certificate is"),
        "nothing internal: {}",
        response.text()
    );
    let recorded = proxy.get_admin("/api/v1/exchanges?limit=1").json();
    let detail = recorded["exchanges"][0]["detail"].as_str();
    let detail = detail.unwrap_or_default().to_owned();
    proxy.finish();
    (response.status, word("outcome"), detail)
}

fn refused(config: Config, outcome: &str, detail: &str) {
    let expected = (502, outcome.to_owned(), detail.to_owned());
    assert_eq!(ask(config), expected);
}

#[test]
fn a_certificate_that_cannot_be_believed_is_named_for_what_is_wrong_with_it() {
    let scene = Scene::new(&["127.0.0.1"]);
    let word = "tls_certificate_error";
    let shows = |identity| TlsServer::new(identity).before(scene.upstream.address());

    let expired = scene
        .authority
        .server_until(&["127.0.0.1"], Authority::in_days(-1));
    let door = shows(&expired);
    refused(
        scene.config(&door, ""),
        word,
        "the upstream's certificate has expired",
    );

    let other = scene.authority.server(&["shop.test", "127.0.0.2"]);
    let door = shows(&other);
    let detail = "the upstream's certificate is not for this name";
    refused(scene.config(&door, ""), word, detail);

    let stranger = Authority::new().server(&["127.0.0.1"]);
    let door = shows(&stranger);
    let detail = "the upstream's certificate is signed by nobody we trust";
    refused(scene.config(&door, ""), word, detail);

    // Without a word about roots the system's are believed, and this authority is none of them.
    let door = scene.door();
    refused(
        Config::new(door.address()).upstream("tls: {}"),
        word,
        detail,
    );

    let client = scene.authority.client("127.0.0.1", &["shop.test"]);
    let door = shows(&client);
    let detail = "the upstream's certificate is not for servers";
    refused(
        scene.config(&door, ", server_name: shop.test"),
        word,
        detail,
    );
    assert_eq!(scene.upstream.request_count(), 0);
}

#[test]
fn insecure_skip_verify_takes_any_certificate_and_is_told_everywhere() {
    let scene = Scene::new(&["shop.test"]);
    let expired = scene
        .authority
        .server_until(&["shop.test"], Authority::in_days(-1));
    let door = TlsServer::new(&expired).before(scene.upstream.address());
    let insecure = "tls: {insecure_skip_verify: true}";
    let proxy = single(Config::new(door.address()).upstream(insecure));
    assert_eq!(get(proxy.public(), "/").text(), "hello");
    let metric = "sightglass_upstream_tls_insecure";
    let on = |proxy: &Proxy| proxy.metrics().get(metric, &[("upstream", "web")]);
    assert_eq!(on(&proxy), Some(1.0));
    proxy.wait_stderr("warning: upstreams[0].tls.insecure_skip_verify: any certificate is taken");
    proxy.wait_stderr("the upstream's certificate is not verified: insecure_skip_verify");
    proxy.write_config(scene.config(&door, ", server_name: shop.test").workers(1));
    proxy.signal("HUP");
    proxy.wait_until("it is verified again", || on(&proxy).is_none());
    assert_eq!(
        get(proxy.public(), "/").status,
        502,
        "no connection of before is used"
    );
    proxy.wait_log_lines(2);
    proxy.finish();
}

#[test]
fn what_is_no_tls_is_told_apart_from_what_is_closed() {
    let word = "tls_protocol_error";
    let plain = Upstream::connections([Script::new().send(reply(400, &[], "")).read_to_end()]);
    let tls = |upstream: &Upstream| Config::new(upstream.address()).upstream("tls: {}");
    refused(tls(&plain), word, "the upstream does not speak TLS");

    let closes =
        Upstream::connections([Script::new().pause(Duration::from_millis(20)).half_close()]);
    let detail = "the upstream closed the connection in the TLS handshake";
    refused(tls(&closes), word, detail);

    let silent = Upstream::connections([Script::new().read_to_end()]);
    let config = tls(&silent).upstream("connect_timeout: 300ms");
    let (status, outcome, detail) = ask(config);
    assert_eq!((status, outcome.as_str()), (504, "connection_timeout"));
    assert_eq!(detail, "the TLS handshake took too long");
}

#[test]
fn what_the_upstream_refuses_is_told_in_its_words() {
    let word = "tls_alert_received";
    let scene = Scene::new(&["127.0.0.1"]);
    // In TLS 1.3 the refusal comes where the answer is awaited, over both protocols.
    for (alpn, protocol) in [("http/1.1", "http1"), ("h2", "http2")] {
        let two = Http2Upstream::ok("two");
        let strict = scene
            .server()
            .alpn(&[alpn])
            .require_client(&scene.authority);
        let door = strict.before_each(scene.upstream.address(), two.address());
        let config = |more| {
            scene
                .config(&door, more)
                .upstream(&format!("protocol: {protocol}"))
        };
        refused(config(""), word, "the upstream wants a client certificate");
        let nobody = Authority::new();
        let stranger = nobody.client("nobody", &[]);
        let detail = "the upstream does not take our client certificate";
        refused(
            config(&format!(", certificate: {}", stranger.yaml())),
            word,
            detail,
        );
        assert_eq!(two.request_count(), 0);
    }
    let door = scene
        .server()
        .alpn(&["h2"])
        .before(scene.upstream.address());
    let detail = "the upstream speaks none of the protocols that were offered";
    refused(scene.config(&door, ""), word, detail);
    assert_eq!(scene.upstream.request_count(), 0);

    let door = scene.server().before(scene.upstream.address());
    let config = scene.config(&door, "").upstream("protocol: http2");
    let detail = "the upstream does not choose HTTP/2 in the TLS handshake";
    refused(config, "tls_protocol_error", detail);
}

#[test]
fn a_handshake_that_fails_is_a_connect_failure_and_another_endpoint_is_tried() {
    let scene = Scene::new(&["127.0.0.1"]);
    let bad = Authority::new().server(&["127.0.0.1"]);
    let (bad, good) = (
        TlsServer::new(&bad).before(scene.upstream.address()),
        scene.door(),
    );
    let config = scene
        .config(&bad, "")
        .endpoint(good.address())
        .upstream("balance: round_robin");
    let proxy =
        single(config.route("retry: {attempts: 2, when: [connect_failure], backoff: 1ms..2ms}"));
    for _ in 0..4 {
        assert_eq!(get(proxy.public(), "/").text(), "hello");
    }
    let lines = proxy.wait_log_lines(4);
    let tried_both = lines
        .iter()
        .filter(|line| line["attempts"].as_array().map(Vec::len) == Some(2));
    assert!(tried_both.count() >= 1);
    proxy.finish();
}

#[test]
fn a_post_goes_to_nobody_before_the_certificate_is_believed() {
    let scene = Scene::new(&["other.test"]);
    let seen = Upstream::script(Script::new().read_head().send(reply(200, &[], "seen")));
    let door = scene.server().before(seen.address());
    let proxy = single(scene.config(&door, ""));
    assert_eq!(
        super::super::rig::post(proxy.public(), "/", "secret").status,
        502
    );
    assert_eq!(seen.connection_count(), 0);
    proxy.wait_log_lines(1);
    proxy.finish();
}
