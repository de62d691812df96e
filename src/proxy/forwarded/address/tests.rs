//! The walk from the right, and the forms of an address.

use proptest::prelude::*;

use super::*;

fn networks() -> Vec<IpNet> {
    ["10.0.0.0/8", "fd00::/8"]
        .map(|network| network.parse().expect("a network"))
        .to_vec()
}

/// The client of a request from 10.0.0.1 with these fields.
fn run(lines: &[(&'static str, &str)]) -> String {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        headers.append(*name, value);
    }
    let peer = IpAddr::from([10, 0, 0, 1]);
    client(&headers, peer, &networks()).to_string()
}

fn x(value: &str) -> String {
    run(&[("x-forwarded-for", value)])
}

fn f(value: &str) -> String {
    run(&[("forwarded", value)])
}

#[test]
fn x_forwarded_for_is_read_from_the_right() {
    for (value, client) in [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2, 10.9.9.9", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.1:80,10.0.0.2:1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443, fd00::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        // What cannot be read ends the walk at the last good one.
        ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("unknown", "10.0.0.1"),
        ("192.0.2.1, 10.0.0.256", "10.0.0.1"),
        ("192.0.2.1, 192.0.2", "10.0.0.1"),
        ("192.0.2.1, [::1", "10.0.0.1"),
        ("192.0.2.1, 10.0.0.2:x", "10.0.0.1"),
        ("192.0.2.1, \"10.0.0.2\"", "10.0.0.1"),
        ("192.0.2.1, é", "10.0.0.1"),
        // Empty elements say nothing.
        ("192.0.2.1, ,", "192.0.2.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(x(value), client, "{value}");
    }
    let lines = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "10.0.0.2"),
    ];
    assert_eq!(run(&lines), "192.0.2.1", "several lines are one list");
    let both = [
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.2"),
    ];
    assert_eq!(run(&both), "192.0.2.1");
}

#[test]
fn forwarded_is_read_from_the_right() {
    for (value, client) in [
        ("for=192.0.2.1", "192.0.2.1"),
        (
            "For=\"192.0.2.1:80\";proto=http;by=203.0.113.43",
            "192.0.2.1",
        ),
        ("proto=http; for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("for=6.6.6.6, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
        ("for=192.0.2.1;host=\"a,b;c\", for=10.0.0.2", "192.0.2.1"),
        (
            "for=192.0.2.1;host=\"a\\\",for=6.6.6.6\", for=10.0.0.2",
            "192.0.2.1",
        ),
        ("for=192.0.2.1 , , for=10.0.0.2", "192.0.2.1"),
        ("for=10.0.0.3,for=10.0.0.2", "10.0.0.3"),
        ("for=192.0.2.1, for=unknown", "10.0.0.1"),
        ("for=192.0.2.1, for=_hidden, for=10.0.0.2", "10.0.0.2"),
        ("for=192.0.2.1, proto=http", "10.0.0.1"),
        ("for=192.0.2.1, proto=http;by=x", "10.0.0.1"),
        ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
        ("for=192.0.2.1, for=\"10.0.0.2", "10.0.0.1"),
        ("for=192.0.2.1, for=10.0.0.2 x", "10.0.0.1"),
        ("for=192.0.2.1, for", "10.0.0.1"),
        ("for=192.0.2.1;;proto=http", "192.0.2.1"),
        ("\"", "10.0.0.1"),
        (";", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(f(value), client, "{value}");
    }
    let lines = [
        ("forwarded", "for=192.0.2.1"),
        ("forwarded", "for=10.0.0.2"),
    ];
    assert_eq!(run(&lines), "192.0.2.1");
}

#[test]
fn no_more_is_believed_than_is_read() {
    let many = |count: usize| format!("for=192.0.2.1{}", ", for=10.0.0.2".repeat(count));
    assert_eq!(f(&many(MOST - 1)), "192.0.2.1");
    assert_eq!(f(&many(MOST)), "10.0.0.2");
}

#[test]
fn private_is_what_strangers_do_not_share() {
    for (address, expected) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.16.0.1", true),
        ("172.32.0.1", false),
        ("192.168.0.1", true),
        ("169.254.1.1", true),
        ("100.64.0.1", false),
        ("8.8.8.8", false),
        ("::1", true),
        ("fd12::1", true),
        ("fe80::1", true),
        ("2001:db8::1", false),
        ("::ffff:10.0.0.1", true),
        ("::ffff:8.8.8.8", false),
    ] {
        assert_eq!(
            is_private(address.parse().expect("an address")),
            expected,
            "{address}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    /// Whatever a client writes, it stands left of what the proxies added, and changes nothing.
    #[test]
    fn a_client_cannot_choose_its_address(forged in "[0-9a-f.:,; =\"\\\\for\\[\\]]{0,40}", hops in 0_usize..4) {
        let hops = ", 10.0.0.2".repeat(hops);
        prop_assert_eq!(x(&format!("{forged}, 192.0.2.1{hops}")), "192.0.2.1");
    }

    #[test]
    fn nothing_makes_it_panic(value in "[ -~\u{e9}]{0,60}") {
        let _ = (x(&value), f(&value), f(&format!("for={value}")));
    }
}
