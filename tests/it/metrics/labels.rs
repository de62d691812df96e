//! Labels that hold what clients say: bounded values, a bounded family, and what `check` says of them beforehand.

use super::super::rig::{Config, Proxy, Upstream, get, get_with};

const COUNT: &str = "http_server_request_duration_seconds_count";

#[test]
fn the_first_values_of_a_label_are_told_apart_and_the_others_are_one() {
    let upstream = Upstream::ok("hello");
    let config = Config::new(upstream.address())
        .telemetry("metrics: {labels: {host: true, headers: {tenant: x-tenant}}, max_values: 3}");
    let proxy = Proxy::start(config);
    let send = |host: &str, tenant: &str| {
        let headers = [("host", host), ("x-tenant", tenant)];
        assert_eq!(get_with(proxy.public(), "/", &headers).status, 200);
    };
    for tenant in ["a", "b", "c"] {
        send("shop.test:8080", tenant);
    }
    for nth in 0..40 {
        send(&format!("h{nth}.test"), &format!("made-up-{nth}"));
    }
    send("SHOP.test", "\"quoted\\\"");
    send("shop.test", "b");
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.wait_log_lines(46);
    let metrics = proxy.metrics();
    let of = |host, tenant| {
        let labels = [
            ("server_address", host),
            ("tenant", tenant),
            ("route", "web"),
        ];
        metrics.sum(COUNT, &labels)
    };
    assert_eq!(of("shop.test", "a"), 1.0);
    assert_eq!(of("shop.test", "b"), 2.0);
    assert_eq!(of("shop.test", "_OTHER"), 1.0);
    let other = metrics.sum(COUNT, &[("server_address", "_OTHER"), ("tenant", "_OTHER")]);
    assert!(
        (38.0..=40.0).contains(&other),
        "{other}: the two first hosts have a place"
    );
    assert_eq!(metrics.sum(COUNT, &[]), 46.0, "none is lost");
    assert_eq!(metrics.sum(COUNT, &[("tenant", "")]), 1.0);
    let tenants = metrics.label_values(COUNT, "tenant");
    assert_eq!(tenants, ["", "_OTHER", "a", "b", "c"]);
    assert!(metrics.label_values(COUNT, "server_address").len() <= 5);
    let overflow = |label| {
        metrics.sum(
            "sightglass_metrics_label_overflow_total",
            &[("label", label)],
        )
    };
    assert_eq!(overflow("tenant"), 41.0);
    assert!(overflow("server_address") >= 38.0);
    proxy.finish();
}

#[test]
fn a_family_without_room_takes_no_more_label_sets_until_a_name_goes_and_loses_no_sample() {
    let upstream = Upstream::ok("hello");
    // A label set of a histogram is 21 series: 47 of them.
    let config = Config::new(upstream.address()).telemetry(
        "metrics: {labels: {headers: {tenant: x-tenant}}, max_values: 1000, max_series: 1000}",
    );
    let proxy = Proxy::start(config.clone());
    let send = |nth: usize| {
        let tenant = format!("t{nth}");
        let answer = get_with(proxy.public(), "/", &[("x-tenant", &tenant)]);
        assert_eq!(answer.status, 200);
    };
    (0..120).for_each(send);
    proxy.wait_log_lines(120);
    let metrics = proxy.metrics();
    assert_eq!(metrics.sum(COUNT, &[]), 120.0);
    let sets = metrics.samples(COUNT, &[]).len();
    assert!((40..=49).contains(&sets), "{sets} label sets");
    assert!(metrics.sum(COUNT, &[("tenant", "_OTHER")]) >= 70.0);
    assert!(metrics.sum("sightglass_metrics_series_overflow_total", &[]) >= 1.0);

    // The route gets another name: the series of the old one stay, but not where others want their room.
    let renamed =
        config
            .to_string()
            .replacen("- name: web\n    match", "- name: site\n    match", 1);
    proxy.write_config(renamed);
    proxy.signal("HUP");
    proxy.wait_stderr("configuration in force");
    (0..5).for_each(send);
    proxy.wait_log_lines(125);
    let metrics = proxy.metrics();
    for nth in 0..5 {
        let labels = [("route", "site"), ("tenant", &format!("t{nth}"))];
        assert_eq!(metrics.sum(COUNT, &labels), 1.0, "{nth}");
    }
    drop(proxy); // its books are not asked: what the old name has counted has gone for the new one
}

#[test]
fn check_says_how_many_series_a_configuration_comes_to() {
    let dir = tempfile::TempDir::new().expect("a temporary directory can be made");
    let file = dir.path().join("sightglass.yaml");
    let said = |config: Config| {
        std::fs::write(&file, config.to_string()).expect("a temporary directory takes files");
        let output = Proxy::output(&["check", &file.display().to_string()]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
            + &String::from_utf8(output.stderr).expect("text")
    };
    let config = Config::new(([127, 0, 0, 1], 9001).into());
    let usual = said(config.clone());
    assert!(
        usual.contains("metrics: about ")
            && usual.contains("http_server_request_duration_seconds 756"),
        "{usual}"
    );
    assert!(!usual.contains("warning"), "{usual}");
    let many = said(config.telemetry("metrics: {labels: {host: true}, max_values: 10000}"));
    assert!(many.contains("warning: more than 50000 series"), "{many}");
}
