//! `sightglass demo --incident NAME`: each is well at first, and then found by what sightglass says of it: from the page in
//! a real browser, with as many clicks as `docs/observability.md` counts, and from the terminal.
//!
//! With `SIGHTGLASS_PICTURES` set to a folder what is seen is left there, the terminal's as text; `docs/pictures` and the
//! texts of the docs come from it.

use std::time::Duration;

use serde_json::Value;

use super::command_line::{stderr, stdout};
use super::demo::Demo;
use super::rig::partner::{Click, Eyes, Look, pictures};
use super::rig::{Metrics, Proxy, get, get_with, try_wait_until};

/// An incident that begins after six seconds.
fn practise(name: &str) -> Demo {
    Demo::start(&[
        "--incident",
        name,
        "--incident-after",
        "6",
        "--rate",
        "150",
        "--seconds",
        "180",
    ])
}

/// What holds once the page says this.
fn says(words: &str) -> String {
    let all = format!("document.body.innerText.includes({words:?})");
    format!("document.getElementById('main') && {all}")
}

/// What holds once *why* says it.
fn why_says(words: &str) -> String {
    format!("document.getElementById('why').innerText.includes({words:?})")
}

fn click(on: &str, wait: String) -> Click {
    let on = on.to_owned();
    Click { on, wait }
}

/// The page as somebody sees it who has opened its address, has waited until it says `first`, and has clicked then: it
/// comes to say all of `words`. The answer is which endpoints its map marks, where there is a browser.
fn seen(
    demo: &Demo,
    name: &str,
    first: &str,
    mut clicks: Vec<Click>,
    words: &[&str],
) -> Option<Value> {
    let eyes = Eyes::open()?;
    let mut wait = says(first);
    // What is said at first may become more: a finding that retries hide turns into one that they cannot.
    let last = clicks.last_mut().map_or(&mut wait, |click| &mut click.wait);
    for word in words {
        *last = format!("{last} && {}", says(word));
    }
    let look = Look {
        name: name.to_owned(),
        url: format!("http://localhost:{}/", demo.admin.port()),
        size: (1280, 860),
        is_dark: false,
        wait,
        clicks,
        keys: 0,
        also: Some(MARKED.to_owned()),
    };
    let page = &eyes.look(&[look])[0];
    assert_eq!(page["violations"], Value::Array(Vec::new()));
    assert_eq!(page["console"], Value::Array(Vec::new()));
    Some(page["also"].clone())
}

/// What a command of the terminal prints; it comes to say all of `words`.
fn told(demo: &Demo, name: &str, command: &[&str], words: &[&str]) {
    let admin = format!("http://{}", demo.admin);
    let mut text = String::new();
    let is_told = try_wait_until(Duration::from_secs(20), || {
        let output = Proxy::output(&[command, &["--admin", &admin]].concat());
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        text = stdout(&output);
        words.iter().all(|word| text.contains(word))
    });
    assert!(is_told, "{command:?} does not say {words:?}: {text}");
    if let Some(folder) = pictures() {
        let file = folder.join(format!("{name}-{}.txt", command[0]));
        std::fs::write(file, &text).expect("the folder for pictures takes files");
    }
}

/// The endpoints that the map marks.
const MARKED: &str =
    "[...document.querySelectorAll('#map-endpoints .failing a')].map((it) => it.textContent)";
/// One look at what `sightglass top` shows.
const TOP: [&str; 2] = ["top", "--once"];

fn ask(demo: &Demo, path: &str) -> Value {
    get_with(demo.admin, path, &[("host", "127.0.0.1")]).json()
}

/// Waits for what comes some seconds after the beginning.
fn wait_long(what: &str, condition: impl FnMut() -> bool) {
    let patience = Duration::from_secs(45);
    assert!(
        try_wait_until(patience, condition),
        "not within {patience:?}: {what}"
    );
}

/// The sentences of the verdict.
fn verdict(demo: &Demo) -> String {
    let answer = ask(demo, "/api/v1/verdict");
    let findings = answer["findings"].as_array().expect("a list").iter();
    let sentences = findings.map(|it| it["sentence"].as_str().expect("a text").to_owned());
    sentences.collect::<Vec<_>>().join("\n")
}

/// Waits for a verdict with all of these words, and sees that there was none such before anything was wrong.
fn found(demo: &Demo, words: &[&str]) {
    let mut said = verdict(demo);
    let is_said = |said: &str| words.iter().all(|word| said.contains(word));
    assert!(!is_said(&said), "it is well at first: {said}");
    let is_found = try_wait_until(Duration::from_secs(45), || {
        said = verdict(demo);
        is_said(&said)
    });
    assert!(is_found, "{words:?}: {said}");
}

/// What sets the failed and slow ones apart, and what does within that: the facts and their values.
fn differences(demo: &Demo, filter: &str) -> Vec<(String, String)> {
    let answer = ask(demo, &format!("/api/v1/why?filter={filter}"));
    let list = |it: &Value| it.as_array().cloned().unwrap_or_default().into_iter();
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    list(&answer["differences"])
        .flat_map(|it| list(&it["within"]).chain([it]))
        .map(|it| (text(&it["fact"]), text(&it["value"])))
        .collect()
}

/// The endpoint of an upstream that stands there.
fn endpoint(demo: &Demo, upstream: &str, at: usize) -> String {
    let answer = ask(demo, "/api/v1/upstreams");
    let all = answer["upstreams"].as_array().expect("a list");
    let found = all.iter().find(|it| it["upstream"] == upstream);
    let endpoint = &found.expect("it is there")["endpoints"][at]["endpoint"];
    endpoint.as_str().expect("an address").to_owned()
}

#[test]
fn a_slow_endpoint_is_named_by_the_verdict_by_the_slowest_and_by_why() {
    let demo = practise("slow-endpoint");
    let guilty = endpoint(&demo, "checkout", 6);
    found(&demo, &["checkout: ", "slow", &guilty]);
    wait_long("the slowest are on it", || {
        let page = ask(
            &demo,
            "/api/v1/exchanges?order=slowest&limit=10&route=checkout",
        );
        let all = page["exchanges"].as_array().expect("a list").iter();
        all.filter(|it| it["endpoint"] == *guilty).count() >= 7
    });
    let marked = seen(
        &demo,
        "slow-endpoint",
        &guilty,
        Vec::new(),
        &["checkout: ", "slower than", &guilty, "times the others'"],
    );
    let is_marked = |marked: &Value| {
        let mut all = marked.as_array().expect("a list").iter();
        all.any(|it| *it == *guilty)
    };
    assert!(marked.as_ref().is_none_or(is_marked), "{marked:?}");
    told(
        &demo,
        "slow-endpoint",
        &TOP,
        &["checkout: ", "slower than", &guilty],
    );
    told(&demo, "slow-endpoint", &["why"], &["endpoint", &guilty]);
}

#[test]
fn a_retry_storm_is_told_with_what_it_hides_and_what_it_costs() {
    let demo = practise("retry-storm");
    found(&demo, &["inventory: ", "status_503"]);
    wait_long("more attempts than exchanges", || {
        let map = ask(&demo, "/api/v1/map");
        let count = |of: &str, name: &str| {
            let all = map[of].as_array().expect("a list").iter();
            let mine = all.filter(|it| it[name] == "inventory");
            mine.filter_map(|it| it["count"].as_f64()).sum::<f64>()
        };
        count("upstreams", "upstream") > count("routes", "route") * 1.1
    });
    seen(
        &demo,
        "retry-storm",
        "status_503",
        Vec::new(),
        &[
            "inventory: ",
            "status_503",
            "retries saved",
            "found no route",
        ],
    );
    told(&demo, "retry-storm", &TOP, &["inventory: ", "status_503"]);
}

#[test]
fn a_bad_deploy_is_named_by_its_endpoint_and_its_method() {
    let demo = practise("bad-deploy");
    let guilty = endpoint(&demo, "checkout", 1);
    found(&demo, &["checkout: ", "failing", "status_500"]);
    wait_long("why", || {
        let told = differences(&demo, "error");
        let has = |fact: &str, value: &str| told.contains(&(fact.to_owned(), value.to_owned()));
        has("endpoint", &guilty) || has("method", "POST")
    });
    let why = vec![click(
        "#verdict a[href*='why='][href*='500']",
        why_says("POST"),
    )];
    seen(
        &demo,
        "bad-deploy",
        "status_500",
        why,
        &["checkout: ", &guilty, "POST"],
    );
    told(&demo, "bad-deploy", &TOP, &["checkout: ", "status_500"]);
    told(&demo, "bad-deploy", &["why", "error"], &["POST", &guilty]);
}

#[test]
fn a_wave_of_clients_that_leave_is_told_as_one() {
    let demo = practise("client-abort-wave");
    found(&demo, &["checkout: ", "given up by their clients"]);
    let words = ["checkout: ", "given up by their clients"];
    seen(&demo, "client-abort-wave", words[1], Vec::new(), &words);
    told(&demo, "client-abort-wave", &TOP, &words);
}

#[test]
fn a_dead_collector_costs_spans_which_are_told_and_no_request() {
    let demo = practise("dead-collector");
    found(&demo, &["spans"]);
    let metrics = Metrics::parse(&get(demo.admin, "/metrics").text());
    let lost = [("signal", "spans"), ("state", "dropped")];
    let labels: Vec<(&str, &str)> = lost.to_vec();
    assert!(metrics.sum("sightglass_telemetry_items_total", &labels) > 0.0);
    let words = ["spans lost since", "export_failed"];
    seen(&demo, "dead-collector", words[0], Vec::new(), &words);
    told(&demo, "dead-collector", &TOP, &words);
}

#[test]
fn a_leak_of_connections_is_told_and_seen_by_who_holds_them() {
    let demo = practise("connection-leak");
    found(
        &demo,
        &[
            "public: ",
            "connections refused since",
            "its limit was reached (64 open now)",
        ],
    );
    wait_long("the leak", || {
        let page = ask(&demo, "/api/v1/inflight?limit=1000");
        let all = page["connections"].as_array().expect("a list").iter();
        let peers = all.filter_map(|it| it["peer"].as_str());
        peers.filter(|peer| peer.starts_with("127.0.0.66:")).count() > 40
    });
    let in_flight = vec![click(
        "#verdict a[href*='show=inflight']",
        says("127.0.0.66"),
    )];
    let words = ["connections refused since", "127.0.0.66", "idle"];
    seen(&demo, "connection-leak", words[0], in_flight, &words);
    told(&demo, "connection-leak", &TOP, &words[..2]);
}

#[test]
fn an_expired_certificate_is_called_one() {
    let demo = practise("expired-certificate");
    found(&demo, &["inventory: ", "failing", "tls_certificate_error"]);
    let newest = ask(
        &demo,
        "/api/v1/exchanges?limit=1&outcome=tls_certificate_error",
    );
    let detail = newest["exchanges"][0]["detail"].as_str().expect("a detail");
    assert!(detail.contains("expired"), "{newest}");
    // The finding's exchanges, then the newest of them.
    // Until the list shows those alone, a click may open another one that failed.
    let theirs = "[...document.querySelectorAll('#rows .outcome')].map((it) => it.textContent)";
    let filtered = format!(
        "location.hash.includes('filter=') && {theirs}.length > 0 && {theirs}.every((it) => it === 'tls_certificate_error')"
    );
    let clicks = vec![
        click(
            "#verdict a[href*='filter='][href*='tls_certificate_error']",
            filtered,
        ),
        click("#rows tr a", says("has expired")),
    ];
    seen(
        &demo,
        "expired-certificate",
        "tls_certificate_error",
        clicks,
        &["inventory", "expired"],
    );
    told(
        &demo,
        "expired-certificate",
        &TOP,
        &["inventory: ", "tls_certificate_error"],
    );
    let id = newest["exchanges"][0]["trace_id"].as_str().expect("an id");
    told(&demo, "expired-certificate", &["trace", id], &["expired"]);
}

#[test]
fn a_noisy_neighbour_is_told_by_its_network_or_its_program() {
    let demo = practise("noisy-neighbour");
    found(&demo, &["search: ", "refused", "rate_limited"]);
    wait_long("why", || {
        let filter = "route%3D%3D%22search%22%26%26outcome%3D%3D%22rate_limited%22";
        let told = differences(&demo, filter);
        let is = |(fact, value): &(String, String)| {
            (fact == "user_agent" && value.starts_with("price-watcher"))
                || value.starts_with("203.0.113.")
        };
        told.iter().any(is)
    });
    let why = vec![click(
        "#verdict a[href*='why='][href*='rate_limited']",
        why_says("price-watcher"),
    )];
    seen(
        &demo,
        "noisy-neighbour",
        "rate_limited",
        why,
        &["search: ", "price-watcher"],
    );
    told(
        &demo,
        "noisy-neighbour",
        &TOP,
        &["search: ", "rate_limited"],
    );
    told(
        &demo,
        "noisy-neighbour",
        &["why", "route==\"search\" && outcome==\"rate_limited\""],
        &["price-watcher"],
    );
}

#[test]
fn the_cause_is_told_at_the_end_and_not_before() {
    let mut demo = Demo::start(&["--incident", "bad-deploy", "--seconds", "2"]);
    let before = demo.program.stdout_lines().join("\n");
    assert!(before.contains("all is well for 20 seconds"), "{before}");
    assert!(!before.contains("version"), "{before}");
    let status = demo.program.wait(Duration::from_secs(15));
    assert!(status.success(), "{status}");
    let after = demo.program.stdout_lines().join("\n");
    assert!(
        after.contains("bad-deploy was: the second endpoint of checkout"),
        "{after}"
    );
}

#[test]
fn a_name_that_is_none_lists_those_that_are() {
    let output = Proxy::output(&["demo", "--incident", "fire"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for name in ["slow-endpoint", "noisy-neighbour", "expired-certificate"] {
        assert!(said.contains(name), "{said}");
    }
}
