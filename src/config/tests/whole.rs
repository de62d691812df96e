//! Whole files: what they become, and every mistake in one go.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::*;
use super::{Sketch, assert_as_in, plan, supported, told};

#[test]
fn names_exactly_the_keys_of_the_contract_that_are_not_supported_yet() {
    let told = told(include_str!("../testdata/contract.yaml"));
    assert_eq!(
        told,
        [
            "40:24: warning: routes[0].retry.per_try_timeout: 3 attempts of 2s take 6s, longer than timeout.total: 5s \
             (the last attempts are cut short by the total)",
            "60:5: upstreams[0].health: not supported yet",
            "63:5: upstreams[0].limits: not supported yet",
        ]
    );
}

#[test]
fn refuses_the_commented_keys_of_the_contract_by_name_too() {
    let text = include_str!("../testdata/contract.yaml")
        .replace("# tls:", "tls:")
        .replace("# proxy_protocol:", "proxy_protocol:")
        .replace(
            "    endpoints: [{address: 127.0.0.1:9003}]\n    # discover:",
            "    discover:",
        )
        .replace(
            "[tracecontext, baggage]",
            "[tracecontext, b3, b3multi, jaeger]",
        )
        .replace("balance: peak_ewma", "balance: ring_hash");
    let is_later = |line: &&String| line.contains("not supported yet");
    let told = told(&text);
    let keys: Vec<&str> = told
        .iter()
        .filter(is_later)
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(
        keys,
        [
            "upstreams[0].balance",
            "upstreams[0].health",
            "upstreams[0].limits",
            "upstreams[1].discover",
        ]
    );
    assert_eq!(
        told.len(),
        keys.len() + 1,
        "nothing else but the warning: {told:#?}"
    );
}

#[test]
fn tells_every_mistake_in_one_go_with_its_place() {
    let told = told(include_str!("../testdata/mistakes.yaml"));
    assert!(told.len() >= 40);
    let expected = include_str!("../testdata/mistakes.txt");
    assert_as_in("mistakes.txt", expected, &(told.join("\n") + "\n"));
}

#[test]
fn reads_the_contract_as_it_is_meant() {
    let plan = plan(&supported());
    let listener = &plan.listeners[0];
    assert!(listener.http1 && listener.http2 && listener.request_id);
    assert_eq!(listener.timeout, ListenerTimeouts::default());
    assert_eq!(listener.limits, ListenerLimits::default());
    assert_eq!(listener.trusted_proxies.len(), 1);

    let route = &plan.routes[0];
    let hosts = [
        HostPattern::Exact("shop.test".into()),
        HostPattern::Wildcard("shop.test".into()),
    ];
    assert_eq!(route.matches.hosts, hosts);
    assert_eq!(route.matches.path.as_str(), "/api/checkout");
    assert_eq!(route.matches.query, [("v".to_owned(), "2".to_owned())]);
    assert_eq!(
        route.to,
        [Split {
            upstream: 0,
            weight: 1
        }]
    );
    assert_eq!(route.timeout.total, Some(Duration::from_secs(5)));
    assert_eq!(route.max_body, Some(ByteSize(10 << 20)));
    assert_eq!(route.rewrite.strip_prefix.as_deref(), Some("/api"));
    assert_eq!(route.concurrency, Some(512));
    let retry = route
        .retry
        .as_ref()
        .map(|retry| (retry.attempts, retry.backoff_base, retry.backoff_max));
    assert_eq!(
        retry,
        Some((3, Duration::from_millis(25), Duration::from_millis(250)))
    );
    let limit = route
        .rate_limit
        .clone()
        .map(|limit| (limit.rate.count, limit.burst, limit.key));
    assert_eq!(limit, Some((100, 200, LimitKey::ClientIp)));
    let latency = LatencyObjective {
        within: Duration::from_millis(300),
        share: Share(0.99),
    };
    let slo = Slo {
        availability: Some(Share(0.999)),
        latency: Some(latency),
        window: Duration::from_secs(30 * 24 * 3600),
    };
    assert_eq!(route.slo, Some(slo));

    assert_eq!(plan.upstreams[0].endpoints[0].weight, 2);
    assert_eq!(plan.telemetry.traces.sample, Some(Share(0.1)));
    assert_eq!(
        plan.telemetry.traces.keep.slower_than,
        SlowerThan::Fixed(Duration::from_millis(500))
    );
    assert_eq!(plan.telemetry.access_log.format, Some(LogFormat::Json));
    assert_eq!(plan.runtime.workers, 2);
}

#[test]
fn fills_in_the_defaults() {
    let plan = plan(&Sketch::default().text());
    let upstream = &plan.upstreams[0];
    assert_eq!(plan.routes[0].timeout, RouteTimeouts::default());
    assert_eq!(
        (upstream.protocol, upstream.balance),
        (Protocol::Http1, Balance::PeakEwma)
    );
    assert_eq!(
        (
            upstream.connect_timeout.as_secs(),
            upstream.idle_timeout.as_secs()
        ),
        (1, 60)
    );
    assert_eq!(plan.telemetry, Telemetry::default());
    assert_eq!(plan.admin, Admin::default());
    assert_eq!(plan.runtime.drain, Drain::default());
    assert!((1..=256).contains(&plan.runtime.workers));
}

#[test]
fn a_match_tells_what_it_asks_for_and_no_value_that_may_be_a_secret() {
    let text = "listeners: [{name: l, address: 127.0.0.1:0}]\n\
        routes:\n  \
        - {name: a, match: {}, upstream: u}\n  \
        - {name: b, match: {hosts: [Shop.test, '*.shop.test'], path: {exact: /cart}, methods: [GET, POST], headers: {x-key: s3cret}, query: {token: s3cret}}, upstream: u}\n  \
        - {name: c, match: {grpc: {service: shop.Cart}}, upstream: u}\n\
        upstreams: [{name: u, endpoints: [{address: 127.0.0.1:1}]}]\n";
    let told = plan(text)
        .routes
        .iter()
        .map(|it| it.matches.to_string())
        .collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            "path prefix /",
            "host shop.test or *.shop.test, path exact /cart, method GET or POST, header x-key, query token",
            "path prefix /shop.Cart, method POST, a gRPC call",
        ]
    );
}

#[test]
fn takes_anchors_merges_and_a_byte_order_mark() {
    let text = "\u{feff}listeners: [{name: l, address: '[::1]:0'}]\r\nroutes:\r\n\
                - {name: a, match: {path: {exact: /a}}, upstream: u, timeout: &t {head: 2s}}\r\n\
                - {name: b, match: {path: {exact: /b}}, upstream: u, timeout: {<<: *t, total: 9s}}\r\n\
                upstreams: [{name: u, endpoints: [{address: LOCALHOST:1}]}]\r\n";
    let plan = plan(text);
    assert_eq!(plan.routes[1].timeout.head, Duration::from_secs(2));
    assert_eq!(
        plan.upstreams[0].endpoints[0].address.to_string(),
        "localhost:1"
    );
}

#[test]
fn draws_no_conclusions_from_what_could_not_be_read() {
    let text = "\
listeners: [{name: l, address: [1]}]
routes:
- 5
- {name: a, match: {hosts: 7}, upstream: u, retry: {attempts: x}}
- {name: b, match: {}, upstream: v}
- {name: c, match: {path: {regex: ^/c}}, upstrem: w, timeout: {head: 1}}
upstreams: [{name: u, endpoints: [{address: a:1}, {adress: 5}]}, v]
";
    assert_eq!(
        told(text),
        [
            "1:32: listeners[0].address: expected text, found a list",
            "3:3: routes[0]: expected a map of keys: name, match, upstream, split, timeout, max_body, rewrite, request_headers, \
             response_headers, rate_limit, concurrency, retry, slo, access, upgrade, connect, traces, found the number 5",
            "4:28: routes[1].match.hosts: expected a list, found the number 7 (such as [7])",
            "4:63: routes[1].retry.attempts: expected a whole number, 0 or more, found the text \"x\" (such as 3)",
            "6:42: routes[3].upstrem: unknown key (did you mean upstream?)",
            "6:70: routes[3].timeout.head: a duration needs a unit: 250ms, 5s, 1m",
            "7:52: upstreams[0].endpoints[1].adress: unknown key (did you mean address?)",
            "7:66: upstreams[1]: expected a map of keys: name, endpoints, protocol, tls, proxy_protocol, balance, connect_timeout, idle_timeout, \
             found the text \"v\" (such as {name: v})",
        ]
    );
}

#[test]
fn survives_what_no_person_writes() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    let wrong = "- {name: 5}\n".repeat(300);
    for text in [
        "- ".repeat(100_000),
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        (0..1500)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect(),
        bomb.to_owned(),
        format!("listeners:\n{wrong}"),
    ] {
        let told = told(&text);
        assert!(!told.is_empty() && told.len() <= 210, "{}", told.len());
    }
}

#[test]
fn hashes_the_text_the_same_on_every_machine() {
    // From the authors' list of test vectors, http://www.isthe.com/chongo/tech/comp/fnv/.
    assert_eq!(load::hash(""), "cbf29ce484222325");
    assert_eq!(load::hash("a"), "af63dc4c8601ec8c");
    assert_eq!(load::hash("foobar"), "85944171f73967e8");
    let text = Sketch::default().text();
    assert_eq!(plan(&text).hash, load::hash(&text));
}

/// A directory that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sightglass-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("f.yaml");
        let mut file = std::fs::File::create(&path).expect("the directory is ours");
        file.write_all(bytes).expect("the file is ours");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn says_in_one_sentence_why_a_file_cannot_be_read() {
    let said = |path: &Path| load(path).map(|_| ()).map_err(|error| error.to_string());
    let scratch = Scratch::new("unreadable");
    let shown = scratch.0.display();
    assert_eq!(
        said(Path::new("/no/such.yaml")),
        Err("cannot read /no/such.yaml: there is no such file".into())
    );
    assert_eq!(
        said(&scratch.0),
        Err(format!(
            "cannot read {shown}: it is a directory, not a file"
        ))
    );
    let latin = scratch.file(b"listeners: \xe9\n");
    assert_eq!(
        said(&latin),
        Err(format!(
            "cannot read {shown}/f.yaml: it is not UTF-8 text (byte 11)"
        ))
    );
}

#[test]
fn loads_a_file_and_names_it_in_problems() {
    let scratch = Scratch::new("load");
    let right = scratch.file(Sketch::default().text().as_bytes());
    assert!(load(&right).is_ok_and(|loaded| loaded.warnings.is_empty()));
    let wrong = scratch.file(b"listeners: []\n");
    let Err(LoadError::Problems(problems)) = load(&wrong) else {
        panic!("a file without routes is refused");
    };
    assert_eq!(problems.errors(), 3);
    assert!(
        problems.0[0]
            .to_string()
            .starts_with(&format!("{}:1:", wrong.display()))
    );
}

#[test]
fn the_commented_keys_of_the_full_file_are_real_ones() {
    let text = include_str!("../../../config/full.yaml");
    let text = text.replace("\n    # ", "\n    ").replace("\n  # ", "\n  ");
    let loaded = parse(&text, "full.yaml").expect("it is a configuration");
    let tls = loaded.plan.listeners[0].tls.as_ref().expect("it is there");
    assert_eq!(tls.certificates.len(), 1);
    assert_eq!(tls.hsts, Some(Duration::from_secs(365 * 86_400)));
    assert!(
        tls.client_auth
            .as_ref()
            .is_some_and(|auth| auth.is_required)
    );
    assert_eq!(loaded.plan.listeners[1].redirect_to_https, Some(443));
    assert!(loaded.plan.admin.token_file.is_some());
}
