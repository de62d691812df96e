//! What filters take, how mistakes are told, and that what is printed reads back.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::tree::{Literal, Node, Operator};
use super::*;
use crate::exchange::{Headers, Outcome, Phase, Words};
use crate::telemetry::fixture::{plan, record, record_of, retried};

/// An exchange of `checkout` that was retried and ended with 200, from 10.1.2.3, of tenant `a`.
fn exchange() -> (Plan, Record) {
    let mut plan = plan(&["checkout", "web"]);
    plan.telemetry.headers = vec![HeaderName::from_static("x-tenant")];
    let words = Words {
        host: "shop.test:8080",
        path: "/cart/7",
        query: "a=1&token=abc",
        user_agent: "curl/8.5.0",
        request_id: "",
        method: "",
    };
    let mut record = retried(record_of(Some(0), &words));
    record.client = [10, 1, 2, 3].into();
    record.peer = SocketAddr::from(([10, 0, 0, 1], 4000));
    record.bytes_in = 70_000;
    let mut fields = HeaderMap::new();
    fields.insert("x-tenant", HeaderValue::from_static("a"));
    record.headers = Headers::of(&plan.telemetry.headers, &fields);
    (plan, record)
}

fn takes(text: &str) -> bool {
    let (plan, record) = exchange();
    let filter = Filter::read_for(text, &plan).expect(text);
    filter.takes(&plan, &record)
}

#[test]
fn the_contracts_example_is_one() {
    let text =
        "status>=500 && route==\"checkout\" && phase.wait>200ms && header[\"x-tenant\"]==\"a\"";
    let (plan, mut record) = exchange();
    let filter = Filter::read_for(text, &plan).expect("a filter");
    assert!(!filter.takes(&plan, &record));
    record.status = 503;
    record.phases = [(Phase::Wait, Duration::from_millis(201))]
        .into_iter()
        .collect();
    assert!(filter.takes(&plan, &record));
    record.headers = None;
    assert!(!filter.takes(&plan, &record));
}

#[test]
fn every_field_is_what_the_log_says() {
    for text in [
        "status==200",
        "status!=500",
        "status<=200",
        "status in [200, 204]",
        "!(status in [500])",
        "route==\"checkout\"",
        "route=~\"^check\"",
        "upstream==\"checkout-service\"",
        "endpoint==\"127.0.0.1:9002\"",
        "listener==\"public\"",
        "outcome==\"served\"",
        "!side",
        "method==\"GET\"",
        "scheme==\"http\"",
        "host==\"shop.test:8080\"",
        "path=~\"^/cart/[0-9]+$\"",
        "query==\"a=1&token=REDACTED\"",
        "protocol==\"HTTP/1.1\"",
        "client==\"10.1.2.3\"",
        "client==\"10.0.0.0/8\"",
        "client!=\"192.168.0.0/16\"",
        "client in [\"::1\", \"10.1.0.0/16\"]",
        "peer==\"10.0.0.1\"",
        "peer==\"10.0.0.1:4000\"",
        "!user",
        "user_agent=~\"curl\"",
        "duration==12ms",
        "duration<1s",
        "phase.wait==10ms",
        "phase.wait>=10ms && phase.admit<2ms",
        "!phase.dns",
        "attempts==2",
        "attempt.status==503",
        "attempt.status==200",
        "attempt.endpoint==\"127.0.0.1:9001\"",
        "attempt.outcome==\"served\"",
        "reused",
        "retried",
        "retried==true",
        "bytes_in>64KiB",
        "bytes_in==70000",
        "bytes_out==100",
        "!grpc_status",
        "!tls",
        "!tunnel",
        "!sampled",
        "!error",
        "error==false",
        "connection==7",
        "config_generation==1",
        "request_id",
        "header[\"x-tenant\"]==\"a\"",
        "header[\"X-Tenant\"]",
        "status==500 || method==\"GET\" && attempts==2",
        "(status==500 || status==200) && !error",
        "!!(status==200)",
    ] {
        assert!(takes(text), "{text}");
    }
}

#[test]
fn what_is_not_there_compares_with_nothing() {
    for text in [
        "grpc_status!=0",
        "grpc_status==0",
        "tls!=\"1.3\"",
        "phase.dns<1s",
        "user=~\"\"",
        "side!=\"client\"",
        "attempt.status==404",
    ] {
        assert!(!takes(text), "{text}");
        assert!(takes(&format!("!({text})")), "{text}");
    }
    let (plan, _) = exchange();
    let none = record(None);
    let unmatched =
        Filter::read("route==\"_unmatched\" && attempts==0 && !endpoint").expect("a filter");
    assert!(unmatched.takes(&plan, &none));
}

#[test]
fn an_exchange_that_goes_on_has_no_end() {
    let (plan, mut record) = exchange();
    record.head_after = None;
    let live = |text: &str| Filter::read(text).expect(text).takes_live(&plan, &record);
    assert!(!live("status==200") && !live("outcome==\"served\"") && !live("error==false"));
    assert!(live("route==\"checkout\" && duration>1ms && attempts==2"));
    record.outcome = Outcome::ClientClosed;
    assert!(
        !Filter::read("side")
            .expect("a filter")
            .takes_live(&plan, &record)
    );
}

/// Mistakes: the text, the column, a part of what is told, and of the hint.
const MISTAKES: &[(&str, usize, &str, &str)] = &[
    ("", 1, "there is no filter here", "such as status>=500"),
    ("  ", 3, "there is no filter here", ""),
    (
        "statu>=500",
        1,
        "there is no field statu",
        "did you mean status?",
    ),
    (
        "status>=500 && phase.wate>1s",
        16,
        "there is no field phase.wate",
        "did you mean phase.wait?",
    ),
    (
        "status",
        7,
        "status is compared with nothing",
        "such as 500",
    ),
    (
        "status>=\"500\"",
        9,
        "status is compared with a whole number",
        "such as 500",
    ),
    ("status=500", 7, "= is no operator", "== compares"),
    ("status>500 & error", 12, "& is no operator", "&& means and"),
    (
        "status>500 and error",
        12,
        "nothing can follow here",
        "&& means and",
    ),
    ("error error", 7, "nothing can follow here", "join tests"),
    (
        "route==checkout",
        8,
        "route is compared with a text",
        "texts stand in double quotes: \"checkout\"",
    ),
    ("route=='checkout'", 8, "a text stands in double quotes", ""),
    (
        "route>\"a\"",
        6,
        "route is a text and has no order",
        "there are == != =~ in",
    ),
    (
        "outcome==\"refused\"",
        10,
        "outcome is never \"refused\"",
        "there are served",
    ),
    (
        "outcome==\"conection_refused\"",
        10,
        "outcome is never",
        "did you mean \"connection_refused\"?",
    ),
    ("duration>200", 10, "a duration needs a unit", ""),
    ("duration>200x", 10, "\"x\" is no unit of a duration", ""),
    ("bytes_in>64KB", 10, "\"KB\" is no unit of a size", ""),
    ("client==\"10.0.0.0/99\"", 9, "is no address", "such as"),
    (
        "client==10.0.0.1",
        9,
        "client is compared with an address",
        "such as",
    ),
    (
        "header",
        7,
        "the name of the header field is missing",
        "header[\"x-tenant\"]",
    ),
    (
        "header[\"x-tennant\"]",
        8,
        "the header field x-tennant is not kept",
        "did you mean x-tenant?",
    ),
    (
        "header[\"a b\"]",
        8,
        "this is no name of a header field",
        "",
    ),
    ("path=~\"(\"", 7, "this is no regular expression", ""),
    ("status=~\"5\"", 7, "matches no expression", ""),
    ("(status==1", 11, "a ) is missing here", ""),
    (
        "status==1)",
        10,
        "nothing can follow here",
        "there is no ( for it",
    ),
    ("path==\"a", 7, "this text has no end", ""),
    (
        "path==\"\\d\"",
        8,
        "this is no escape",
        "a backslash is \\\\",
    ),
    ("status in 500", 11, "a [ is missing here", "status in ["),
    ("status in [500", 15, "a , or ] is missing here", ""),
    ("ü", 1, "this character means nothing here", ""),
    (
        "path==\"ü\" && statu",
        14,
        "there is no field statu",
        "did you mean status?",
    ),
    ("status==-1", 9, "numbers are not negative here", ""),
    ("500>status", 1, "a field comes first", ""),
    ("status!~\"5\"", 7, "!~ is no operator", ""),
    (
        "status>99999999999999999999",
        8,
        "status is compared with a whole number",
        "",
    ),
];

#[test]
fn a_mistake_is_told_with_its_column_and_what_would_fit() {
    for (text, column, what, hint) in MISTAKES {
        let (plan, _) = exchange();
        let error = Filter::read_for(text, &plan).expect_err(text);
        assert_eq!(error.column, *column, "{text}: {error}");
        assert!(error.what.contains(what), "{text}: {error}");
        assert!(
            error.hint.as_deref().unwrap_or_default().contains(hint),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_caret_stands_below_the_mistake() {
    let text = "path==\"\u{1b}[2J\u{202e}\" && statu>1";
    let error = Filter::read(text).expect_err("a mistake");
    let shown = error.caret(text);
    assert_eq!(shown, "path==\"·[2J·\" && statu>1\n                 ^");
    let long = format!("{}statu", "error || ".repeat(200));
    let error = Filter::read(&long).expect_err("a mistake");
    let shown = error.caret(&long);
    let (line, caret) = shown.split_once('\n').expect("two lines");
    assert_eq!(&line[caret.len() - 1..], "statu");
}

#[test]
fn everything_is_bounded() {
    let deep = |depth: usize| format!("{}error{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::read(&deep(31)).is_ok());
    let error = Filter::read(&deep(32)).expect_err("too deep");
    assert_eq!(
        (error.column, error.what.as_str()),
        (33, "brackets and ! nest at most 32 deep")
    );
    assert!(Filter::read(&format!("{}error", "!".repeat(4000))).is_err());
    let many = |count: usize| vec!["error"; count].join("||");
    assert!(Filter::read(&many(256)).is_ok());
    assert!(Filter::read(&many(257)).is_err());
    assert!(Filter::read(&format!("path==\"{}\"", "a".repeat(5000))).is_err());
    let patterns = |count: usize| vec!["path=~\"a\""; count].join("||");
    assert!(Filter::read(&patterns(8)).is_ok());
    assert!(Filter::read(&patterns(9)).is_err());
    let error = Filter::read("path=~\"(\\\\w{100}){100}\"").expect_err("too large");
    assert_eq!(error.what, "this regular expression becomes too large");
    assert!(Filter::read("path=~\"^/\\\\w+/[^/]{1,40}$\"").is_ok());
}

/// The values that a field of this kind may be compared with.
fn literal(kind: field::Kind) -> BoxedStrategy<Literal> {
    use field::Kind;
    match kind {
        Kind::Number => any::<u64>().prop_map(Literal::Number).boxed(),
        Kind::Size => prop_oneof![
            any::<u64>().prop_map(Literal::Number),
            any::<u64>().prop_map(Literal::Size)
        ]
        .boxed(),
        Kind::Duration => (0..u64::from(u32::MAX))
            .prop_map(|millis| Literal::Duration(Duration::from_millis(millis)))
            .boxed(),
        Kind::Text => any::<String>()
            .prop_map(|text| Literal::Text(text.into()))
            .boxed(),
        Kind::Word(words) => proptest::sample::select(words)
            .prop_map(|word| Literal::Text(word.into()))
            .boxed(),
        Kind::Address => (any::<std::net::IpAddr>(), 0..33_u8)
            .prop_map(|(address, length)| {
                let net = ipnet::IpNet::new(address.to_canonical(), length);
                Literal::Net(net.unwrap_or_else(|_| address.into()))
            })
            .boxed(),
        Kind::Flag => any::<bool>().prop_map(Literal::Flag).boxed(),
    }
}

fn any_field() -> impl Strategy<Value = field::Field> {
    prop_oneof![
        proptest::sample::select(field::TABLE).prop_map(|(plain, ..)| field::Field::Plain(plain)),
        proptest::sample::select(&Phase::ALL[..]).prop_map(field::Field::Phase),
        "[a-z][a-z0-9-]{0,12}".prop_map(|name| field::Field::Header(name.into())),
    ]
}

fn test() -> impl Strategy<Value = Node> {
    any_field().prop_flat_map(|field| {
        use field::Kind;
        let kind = field.kind();
        let has_order = matches!(kind, Kind::Number | Kind::Size | Kind::Duration);
        let operators: &[Operator] = match has_order {
            true => &[
                Operator::Less,
                Operator::AtMost,
                Operator::AtLeast,
                Operator::More,
            ],
            false => &[Operator::Equal, Operator::Unequal],
        };
        let list = proptest::collection::vec(literal(kind), 1..4);
        let (a, b, c) = (field.clone(), field.clone(), field.clone());
        let can_stand_alone = kind == Kind::Flag || !field.is_always();
        prop_oneof![
            (proptest::sample::select(operators), literal(kind))
                .prop_map(move |(operator, literal)| Node::Compare(a.clone(), operator, literal)),
            list.prop_map(move |literals| Node::In(b.clone(), literals)),
            literal(kind).prop_map(move |literal| match can_stand_alone {
                true => Node::Is(c.clone()),
                false => Node::Compare(c.clone(), Operator::Equal, literal),
            }),
        ]
    })
}

fn node() -> impl Strategy<Value = Node> {
    test().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
            inner.prop_map(|node| Node::Not(Box::new(node))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(node in node()) {
        let filter = Filter(Arc::new(node));
        let text = filter.to_string();
        if text.len() <= MOST_BYTES {
            prop_assert!(!text.chars().any(char::is_control), "{text}");
            prop_assert_eq!(Filter::read(&text).expect(&text), filter);
        }
    }

    #[test]
    fn a_filter_and_its_opposite_never_agree(node in node()) {
        let (plan, record) = exchange();
        let opposite = Filter(Arc::new(Node::Not(Box::new(node.clone()))));
        let filter = Filter(Arc::new(node));
        prop_assert_ne!(filter.takes(&plan, &record), opposite.takes(&plan, &record));
    }

    #[test]
    fn any_text_is_read_or_refused_inside_itself(text in "[a-z.=!<>~&|()\\[\\]\", 0-9\u{fc}]{0,60}") {
        match Filter::read(&text) {
            Ok(filter) => prop_assert_eq!(Filter::read(&filter.to_string()), Ok(filter)),
            Err(error) => {
                prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
                prop_assert!(!error.what.is_empty());
                let _ = error.caret(&text);
            }
        }
    }
}

#[test]
fn the_place_is_what_says_nothing_of_how_it_went() {
    let place = |text: &str| {
        let filter = Filter::read(text).expect("a filter");
        filter.place().map(|it| it.to_string())
    };
    for (text, named) in [
        ("error", None),
        ("route==\"a\"", None),
        ("route==\"a\" && method==\"GET\"", None),
        ("route==\"a\" || error", None),
        ("route==\"a\" && error", Some("route==\"a\"")),
        (
            "route==\"a\" && (error || duration>1s) && endpoint==\"h:1\" && header[\"x\"]==\"y\"",
            Some("route==\"a\" && endpoint==\"h:1\" && header[\"x\"]==\"y\""),
        ),
        (
            "(route==\"a\" && error) && duration>1s",
            Some("route==\"a\""),
        ),
        ("!endpoint && status==429", None),
        (
            "(route==\"a\" || !(host==\"b\")) && status==500",
            Some("route==\"a\" || !(host==\"b\")"),
        ),
        ("(route==\"a\" || status==404) && status>=400", None),
        ("phase.wait>1s && reused && attempts==1", None),
    ] {
        assert_eq!(place(text).as_deref(), named, "{text}");
    }
}
