//! Precedence case by case, and the table against its specification.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use proptest::prelude::*;

use super::matcher::{Asked, Mismatch, matches, most_specific};
use super::ruling::{Decider, Verdict, rulings};
use super::*;
use crate::config::{self, HostPattern, PathPattern};
use crate::proxy::testing::{End, now, request, route};

fn exact(path: &str) -> PathPattern {
    PathPattern::Exact(path.into())
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.into())
}

fn regex(pattern: &str) -> PathPattern {
    PathPattern::Regex(regex::Regex::new(pattern).expect("a pattern"))
}

fn with(mut route: config::Route, change: impl FnOnce(&mut config::Match)) -> config::Route {
    change(&mut route.matches);
    route
}

/// A request in the few words that matter.
#[derive(Clone, Debug)]
struct Words {
    host: Option<&'static str>,
    path: String,
    query: Option<&'static str>,
    method: Method,
    headers: HeaderMap,
}

impl Words {
    fn get(host: &'static str, path: &str) -> Self {
        Self {
            host: Some(host),
            path: path.into(),
            query: None,
            method: Method::GET,
            headers: HeaderMap::new(),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            host: self.host,
            path: &self.path,
            query: self.query,
            method: &self.method,
            headers: &self.headers,
        }
    }

    /// The name of the route that takes it, on which table and specification agree.
    fn find<'a>(&self, routes: &'a [config::Route]) -> Option<&'a str> {
        let table = RouteTable::of(routes);
        let found = table.find(
            self.host,
            &self.path,
            self.query,
            &self.method,
            &self.headers,
        );
        assert_eq!(found.map(usize::from), most_specific(routes, &self.asked()));
        let ruled = rulings(routes, &self.asked());
        let first = ruled.iter().find(|it| it.verdict == Verdict::Wins);
        assert_eq!(found.map(usize::from), first.map(|it| it.route));
        let mut told: Vec<_> = ruled.iter().map(|it| it.route).collect();
        told.sort_unstable();
        assert!(told.into_iter().eq(0..routes.len()), "each route once");
        found.map(|place| routes[usize::from(place)].name.as_str())
    }
}

#[test]
fn a_prefix_ends_at_a_segment_boundary() {
    let routes = [route("api", prefix("/api"))];
    for (path, takes) in [
        ("/api", true),
        ("/api/", true),
        ("/api/x", true),
        ("/apix", false),
        ("/ap", false),
        ("/", false),
        ("/x/api", false),
        ("/API", false),
    ] {
        let found = Words::get("a", path).find(&routes);
        assert_eq!(found.is_some(), takes, "{path}");
    }
    let routes = [route("below", prefix("/api/"))];
    assert_eq!(Words::get("a", "/api").find(&routes), None);
    assert_eq!(Words::get("a", "/api/").find(&routes), Some("below"));
    assert_eq!(Words::get("a", "/api/x").find(&routes), Some("below"));
    let routes = [route("all", prefix("/"))];
    for path in ["/", "/x", "/x/y", "*"] {
        assert_eq!(Words::get("a", path).find(&routes), Some("all"), "{path}");
    }
}

#[test]
fn a_pattern_is_compared_in_its_canonical_form() {
    let routes = [route("user", prefix("/%7euser")), route("e", exact("/é"))];
    assert_eq!(Words::get("a", "/~user/x").find(&routes), Some("user"));
    assert_eq!(Words::get("a", "/%C3%A9").find(&routes), Some("e"));
}

#[test]
fn the_more_specific_path_wins() {
    let routes = [
        route("regex", regex("^/a/.*")),
        route("short", prefix("/a")),
        route("long", prefix("/a/b")),
        route("exact", exact("/a/b")),
    ];
    for (path, expected) in [
        ("/a", Some("short")),
        ("/a/b", Some("exact")),
        ("/a/b/c", Some("long")),
        ("/a/c", Some("short")),
        ("/b", None),
    ] {
        assert_eq!(Words::get("a", path).find(&routes), expected, "{path}");
    }
}

#[test]
fn the_more_specific_host_wins_before_any_path() {
    let hosts = |name: &str, path, hosts: &[HostPattern]| {
        with(route(name, path), |it| it.hosts = hosts.to_vec())
    };
    let wild = |suffix: &str| HostPattern::Wildcard(suffix.into());
    let routes = [
        hosts("any", exact("/a"), &[]),
        hosts("root", prefix("/"), &[wild("test")]),
        hosts("shop", prefix("/"), &[wild("shop.test")]),
        hosts(
            "www",
            prefix("/a"),
            &[HostPattern::Exact("www.shop.test".into())],
        ),
    ];
    for (host, path, expected) in [
        ("www.shop.test", "/a", Some("www")),
        // An exact host whose path does not match falls through.
        ("www.shop.test", "/b", Some("shop")),
        ("x.www.shop.test", "/a", Some("shop")),
        ("shop.test", "/a", Some("root")),
        ("xshop.test", "/a", Some("root")),
        ("test", "/a", Some("any")),
        (".test", "/a", Some("any")),
        ("other.example", "/a", Some("any")),
        ("other.example", "/b", None),
    ] {
        assert_eq!(
            Words::get(host, path).find(&routes),
            expected,
            "{host}{path}"
        );
    }
    let nameless = Words {
        host: None,
        ..Words::get("", "/a")
    };
    assert_eq!(nameless.find(&routes), Some("any"));
}

#[test]
fn conditions_decide_between_equal_paths_method_first() {
    let gold = (
        HeaderName::from_static("x-tier"),
        HeaderValue::from_static("gold"),
    );
    let routes = [
        route("plain", prefix("/")),
        with(route("query", prefix("/")), |it| {
            it.query = vec![("v".into(), "2".into()), ("w".into(), "a b".into())];
        }),
        with(route("header", prefix("/")), |it| {
            it.headers = vec![gold.clone()]
        }),
        with(route("method", prefix("/")), |it| {
            it.methods = vec![Method::POST]
        }),
        with(route("all", prefix("/")), |it| {
            it.methods = vec![Method::POST];
            it.headers = vec![gold.clone()];
        }),
    ];
    let mut words = Words::get("a", "/");
    assert_eq!(words.find(&routes), Some("plain"));
    words.query = Some("x=1&w=a%20b&v=2");
    assert_eq!(words.find(&routes), Some("query"));
    words.query = Some("w=a+b&v=1&v=2");
    assert_eq!(words.find(&routes), Some("query"));
    words
        .headers
        .append("x-tier", HeaderValue::from_static("tin"));
    assert_eq!(words.find(&routes), Some("query"));
    words
        .headers
        .append("x-tier", HeaderValue::from_static("gold"));
    assert_eq!(words.find(&routes), Some("header"));
    words.method = Method::POST;
    assert_eq!(words.find(&routes), Some("all"));
    words.headers.clear();
    assert_eq!(words.find(&routes), Some("method"));
}

#[test]
fn the_name_decides_last() {
    let (first, second) = (route("a", prefix("/")), route("b", prefix("/")));
    let words = Words::get("a", "/");
    assert_eq!(words.find(&[first.clone(), second.clone()]), Some("a"));
    assert_eq!(words.find(&[second, first]), Some("a"));
}

#[test]
fn the_reason_of_a_mismatch_is_told() {
    let route = with(route("r", prefix("/api")), |it| {
        it.hosts = vec![HostPattern::Exact("a".into())];
        it.methods = vec![Method::POST];
        it.headers = vec![(
            HeaderName::from_static("x-a"),
            HeaderValue::from_static("1"),
        )];
        it.query = vec![("v".into(), "2".into())];
    });
    let mut words = Words::get("b", "/");
    let why = |words: &Words| matches(&route, &words.asked()).map(|_| ());
    assert_eq!(why(&words), Err(Mismatch::Host));
    words.host = Some("a");
    assert_eq!(why(&words), Err(Mismatch::Path));
    words.path = "/api".into();
    assert_eq!(why(&words), Err(Mismatch::Method));
    words.method = Method::POST;
    assert_eq!(
        why(&words),
        Err(Mismatch::Header(HeaderName::from_static("x-a")))
    );
    words.headers.insert("x-a", HeaderValue::from_static("1"));
    assert_eq!(why(&words), Err(Mismatch::Query("v".into())));
    words.query = Some("v=2");
    assert_eq!(why(&words), Ok(()));
}

#[test]
fn what_made_another_route_more_specific_is_told() {
    let wild = |suffix: &str| vec![HostPattern::Wildcard(suffix.into())];
    let x_a = (
        HeaderName::from_static("x-a"),
        HeaderValue::from_static("1"),
    );
    let routes = [
        with(route("host", prefix("/a/b")), |it| it.hosts = wild("test")),
        with(route("path", prefix("/a")), |it| it.hosts = wild("b.test")),
        with(route("method", prefix("/a/b")), |it| {
            it.hosts = wild("b.test")
        }),
        with(route("headers", prefix("/a/b")), |it| {
            it.hosts = wild("b.test");
            it.methods = vec![Method::GET];
        }),
        with(route("query", prefix("/a/b")), |it| {
            it.hosts = wild("b.test");
            it.methods = vec![Method::GET];
            it.headers = vec![x_a.clone()];
        }),
        with(route("winner", prefix("/a/b")), |it| {
            it.hosts = wild("b.test");
            it.methods = vec![Method::GET];
            it.headers = vec![x_a.clone()];
            it.query = vec![("v".into(), "2".into())];
        }),
        with(route("winner-too", prefix("/a/b")), |it| {
            it.hosts = wild("b.test");
            it.methods = vec![Method::GET];
            it.headers = vec![x_a.clone()];
            it.query = vec![("v".into(), "2".into())];
        }),
        route("elsewhere", exact("/")),
    ];
    let mut words = Words::get("x.b.test", "/a/b");
    words.query = Some("v=2");
    words.headers.insert("x-a", HeaderValue::from_static("1"));
    assert_eq!(words.find(&routes), Some("winner"));
    let ruled = rulings(&routes, &words.asked());
    let told = ruled.iter().map(|it| match &it.verdict {
        Verdict::Wins => (it.route, "wins"),
        Verdict::Loses { to, by } => {
            assert_eq!(*to, 5);
            (it.route, by.as_str())
        }
        Verdict::Fails(why) => {
            assert_eq!(*why, Mismatch::Path);
            (it.route, "fails")
        }
        Verdict::Unsure { .. } => unreachable!("all is known"),
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (5, "wins"),
            (6, Decider::Name.as_str()),
            (4, "query"),
            (3, "headers"),
            (2, "method"),
            (1, "path"),
            (0, "host"),
            (7, "fails"),
        ]
    );
}

// === the layer ===

fn plan(routes: Vec<config::Route>) -> Plan {
    Plan {
        listeners: Vec::new(),
        routes,
        upstreams: Vec::new(),
        telemetry: config::Telemetry::default(),
        admin: config::Admin::default(),
        runtime: config::Runtime {
            workers: 1,
            drain: config::Drain::default(),
        },
        hash: String::new(),
    }
}

#[test]
fn the_layer_hands_the_request_to_the_routes_own_stack() {
    let plan = plan(vec![
        route("a", prefix("/a")),
        with(route("b", prefix("/")), |it| {
            it.hosts = vec![HostPattern::Exact("shop.test".into())];
        }),
    ]);
    let gauges = [Gauge::default(), Gauge::default()];
    let ends = [End::default(), End::default()];
    let mut layer = Route::new(&plan, &gauges, ends.to_vec());
    let ask = |uri: &str, host: &str| {
        request(
            "127.0.0.1:1",
            Version::HTTP_11,
            "GET",
            uri,
            &[&format!("host: {host}")],
        )
    };

    let first = ask("/a/x", "other");
    let exchange = first.exchange.clone();
    now(layer.call(first)).expect("served");
    assert!(ends[0].got.take().is_some() && ends[1].got.take().is_none());
    assert_eq!(gauges[0].get(), 1, "until the exchange ends");
    let record = exchange.finish(Outcome::Served);
    assert_eq!(record.and_then(|record| record.route), Some(0));
    assert_eq!(gauges[0].get(), 0);

    // The host in any case, with a port and the dot of the root.
    let second = ask("/x", "Shop.TEST.:8080");
    let exchange = second.exchange.clone();
    now(layer.clone().call(second)).expect("served");
    assert!(ends[1].got.take().is_some());
    let record = exchange.finish(Outcome::Served);
    assert_eq!(record.and_then(|record| record.route), Some(1));

    let fault = now(layer.call(ask("/x", "other"))).expect_err("no route");
    assert_eq!(
        (fault.outcome(), fault.status()),
        (Outcome::DestinationNotFound, 404)
    );
}

// === properties ===

const HOSTS: [&str; 7] = ["a", "b.a", "c.b.a", "d.c.b.a", "x", "xa", ".a"];

fn host_pattern() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        prop::sample::select(&HOSTS[..4]).prop_map(|host| HostPattern::Exact(host.into())),
        prop::sample::select(&HOSTS[..3]).prop_map(|host| HostPattern::Wildcard(host.into())),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => "(/[ab]{1,2}){0,3}/?".prop_map(|path| if path.is_empty() { "/".into() } else { path }),
        1 => Just("*".to_owned()),
    ]
}

fn path_pattern() -> impl Strategy<Value = PathPattern> {
    let written = "(/[ab]{1,2}){0,3}/?";
    prop_oneof![
        written.prop_map(|path| exact(&path)),
        written.prop_map(|path| prefix(&path)),
        prop::sample::select(vec!["^/a", "b$", "^/(a|b)+/"]).prop_map(regex),
    ]
}

fn headers(most: usize) -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let name = prop::sample::select(vec!["x-a", "x-b"]).prop_map(HeaderName::from_static);
    let value = prop::sample::select(vec!["1", "2"]).prop_map(HeaderValue::from_static);
    prop::collection::vec((name, value), 0..=most)
}

fn methods() -> impl Strategy<Value = Vec<Method>> {
    prop::collection::vec(prop::sample::select(vec![Method::GET, Method::POST]), 0..2)
}

fn routes() -> impl Strategy<Value = Vec<config::Route>> {
    let word = || prop::sample::select(vec!["v", "w", "1", "2"]).prop_map(str::to_owned);
    let query = prop::collection::vec((word(), word()), 0..2);
    let hosts = prop::collection::vec(host_pattern(), 0..3);
    let is_grpc = prop::bool::weighted(0.3);
    let one = (hosts, path_pattern(), methods(), headers(1), query, is_grpc);
    prop::collection::vec(one, 0..20).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(
                |(number, (hosts, path, methods, headers, query, is_grpc))| {
                    with(route(&format!("r{number}"), path), |it| {
                        (it.hosts, it.methods) = (hosts, methods);
                        (it.headers, it.query, it.is_grpc) = (headers, query, is_grpc);
                    })
                },
            )
            .collect()
    })
}

fn words() -> impl Strategy<Value = Words> {
    let host = prop::option::weighted(0.9, prop::sample::select(&HOSTS[..]));
    let query = prop::sample::select(vec![None, Some("v=1"), Some("v=2&w=1"), Some("w=2&v=%31")]);
    let media_type = prop::option::of(prop::sample::select(vec!["application/grpc", "text/plain"]));
    (host, path(), query, methods(), headers(2), media_type).prop_map(
        |(host, path, query, methods, headers, media_type)| {
            let mut fields = HeaderMap::new();
            if let Some(media_type) = media_type {
                fields.insert("content-type", HeaderValue::from_static(media_type));
            }
            for (name, value) in headers {
                fields.append(name, value);
            }
            Words {
                host,
                path,
                query,
                method: methods.first().cloned().unwrap_or(Method::GET),
                headers: fields,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_table_finds_what_the_specification_says(
        (routes, shuffled) in routes().prop_flat_map(|routes| (Just(routes.clone()), Just(routes).prop_shuffle())),
        asked in prop::collection::vec(words(), 1..20),
    ) {
        for words in asked {
            // `find` compares the table with the specification; the order of the file decides nothing.
            prop_assert_eq!(words.find(&routes), words.find(&shuffled), "{:?}", words);
        }
    }
}
