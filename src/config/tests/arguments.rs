//! Plans from the command line.

use http::HeaderValue;

use super::super::{
    ArgumentError, Otlp, OtlpProtocol, Plan, Protocol, Share, UpstreamTls, from_arguments, parse,
};

fn from(
    to: &[&str],
    listen: Option<&str>,
    otlp: Option<&str>,
) -> Result<(Plan, String), ArgumentError> {
    let to: Vec<String> = to.iter().map(|&word| word.to_owned()).collect();
    from_arguments(&to, listen, None, otlp)
}

fn refused(to: &[&str], listen: Option<&str>, otlp: Option<&str>) -> String {
    from(to, listen, otlp)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn makes_one_listener_one_route_and_one_upstream() {
    let (plan, _) =
        from(&["127.0.0.1:9001", "web.internal:80"], None, None).expect("both can be called");
    assert_eq!(plan.listeners.len(), 1);
    assert_eq!(plan.listeners[0].name.as_str(), "public");
    assert_eq!(plan.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(plan.routes.len(), 1);
    assert_eq!(plan.routes[0].name.as_str(), "everything");
    assert_eq!(plan.routes[0].matches.path.as_str(), "/");
    assert_eq!(plan.upstreams.len(), 1);
    assert_eq!(plan.upstreams[0].name.as_str(), "service");
    assert_eq!(plan.admin.address.to_string(), "127.0.0.1:9901");
    assert_eq!(plan.telemetry.traces.sample, Some(Share::ALL));
    assert_eq!(plan.telemetry.traces.otlp, None);
}

#[test]
fn the_printed_file_reads_back_as_the_same_plan_without_a_word() {
    for otlp in [
        None,
        Some("http://127.0.0.1:4317"),
        Some("http://collector:4318/"),
    ] {
        let (plan, text) = from(&["1e5:80", "[::1]:9001", ":9002"], Some("0.0.0.0:0"), otlp)
            .expect("all of it is right");
        let read = parse(&text, "f").expect("it was printed by us");
        assert_eq!(read.warnings, []);
        assert_eq!(format!("{:?}", read.plan), format!("{plan:?}"));
    }
}

#[test]
fn takes_the_short_forms_of_an_address() {
    let forms = [
        "9001",
        ":9002",
        "http://127.0.0.1:9003",
        "http://web",
        "http://[::1]/",
        "[::1]:9004",
    ];
    let (plan, _) = from(&forms, Some(":8081"), None).expect("each can be called");
    let addresses: Vec<String> = plan.upstreams[0]
        .endpoints
        .iter()
        .map(|one| one.address.to_string())
        .collect();
    assert_eq!(
        addresses,
        [
            "127.0.0.1:9001",
            "127.0.0.1:9002",
            "127.0.0.1:9003",
            "web:80",
            "[::1]:80",
            "[::1]:9004"
        ]
    );
    assert_eq!(plan.listeners[0].address.to_string(), "127.0.0.1:8081");
}

#[test]
fn a_name_over_tls_is_what_is_asked_for() {
    for (to, address, host) in [
        ("https://shop.test", "shop.test:443", "shop.test"),
        (
            "https://Shop.test:8443/",
            "shop.test:8443",
            "shop.test:8443",
        ),
        ("https://[::1]", "[::1]:443", "[::1]"),
        ("https://192.0.2.7", "192.0.2.7:443", "192.0.2.7"),
    ] {
        let (plan, _) = from(&[to], None, None).expect("it can be called");
        let upstream = &plan.upstreams[0];
        assert_eq!(upstream.endpoints[0].address.to_string(), address);
        assert_eq!(upstream.tls, Some(UpstreamTls::default()));
        assert_eq!(upstream.protocol, Protocol::Auto);
        assert_eq!(
            plan.routes[0].rewrite.host.as_ref(),
            HeaderValue::from_str(host).ok().as_ref()
        );
    }
    let (plan, _) = from(&["https://a.test", "https://a.test:8443"], None, None).expect("one name");
    assert_eq!(plan.upstreams[0].endpoints.len(), 2);
}

#[test]
fn tells_the_flavour_of_otlp_by_the_port() {
    let otlp = |url| {
        from(&["9001"], None, Some(url))
            .ok()
            .and_then(|(plan, _)| plan.telemetry.traces.otlp)
    };
    let expected = |endpoint: &str, protocol| {
        Some(Otlp {
            endpoint: endpoint.to_owned(),
            protocol,
        })
    };
    assert_eq!(
        otlp("http://127.0.0.1:4317"),
        expected("http://127.0.0.1:4317", OtlpProtocol::Grpc)
    );
    assert_eq!(
        otlp("http://127.0.0.1:4318/"),
        expected("http://127.0.0.1:4318", OtlpProtocol::Http)
    );
}

#[test]
fn says_which_word_is_wrong() {
    let to = |word| refused(&[word], None, None);
    assert_eq!(
        refused(&[], None, None),
        "--to names no address (such as --to 127.0.0.1:9001)"
    );
    assert_eq!(
        to("https://shop.test/a"),
        "--to https://shop.test/a: an upstream has no path (write https://shop.test)"
    );
    assert_eq!(
        refused(&["https://shop.test", "9001"], None, None),
        "--to https://shop.test and 9001 are no endpoints of one service (all as http, or all as https with one name)"
    );
    assert_eq!(
        refused(&["https://a.test", "https://b.test"], None, None),
        "--to https://a.test and https://b.test are no endpoints of one service (all as http, or all as https with one name)"
    );
    assert_eq!(
        to("http://shop.test/a"),
        "--to http://shop.test/a: an upstream has no path (write http://shop.test)"
    );
    assert_eq!(
        to("shop.test"),
        "--to shop.test: an address needs a port (such as shop.test:80)"
    );
    assert_eq!(to("99999"), "--to 99999: \"99999\" is no port (1 to 65535)");
    assert_eq!(
        to("ftp://x:1"),
        "--to ftp://x:1: an address is no URL (such as 127.0.0.1:9001, [::1]:9001 or web.internal:9001)"
    );
    assert_eq!(
        refused(&["9001", ":9001"], None, None),
        "--to 127.0.0.1:9001 is named twice"
    );
    assert_eq!(
        refused(&["9001"], Some("localhost:80"), None),
        "--listen localhost:80: \"localhost:80\" cannot be bound (write 127.0.0.1:80)"
    );
    assert_eq!(
        refused(&["9001"], Some("9901"), None),
        "--listen 127.0.0.1:9901: the admin port is there (127.0.0.1:9901)"
    );
    assert_eq!(
        refused(&["9001"], None, Some("https://c:4317")),
        "--otlp https://c:4317: https to a collector is not supported yet (an http:// endpoint)"
    );
    assert_eq!(
        refused(&["9001"], None, Some("http://c")),
        "--otlp http://c: a collector's URL needs a port (http://c:4317 for grpc, http://c:4318 for http)"
    );
}
