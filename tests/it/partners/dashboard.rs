//! The admin port's page in a real browser, with live traffic: every view shows what it is for, at the width of a desk and
//! of a telephone, light and dark; nothing is asked of another host, nothing of traffic is live in it, and axe-core finds
//! nothing that a person with a disability would stumble over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::bad_input::words::send_all;
use super::super::rig::partner::{Eyes, Look};
use super::super::rig::{Client, Config, Proxy, Upstream, reply};

/// What a client may send as its name.
const NASTY: &str = "\"><img src=x onerror=alert(1)><script>alert(2)</script>";

/// A page that is looked at.
struct View {
    name: &'static str,
    fragment: String,
    /// What holds once it is drawn.
    wait: &'static str,
    /// Words that it has to show.
    words: Vec<String>,
}

fn view(name: &'static str, fragment: &str, wait: &'static str, words: &[&str]) -> View {
    View {
        name,
        fragment: fragment.to_owned(),
        wait,
        words: words.iter().map(|&word| word.to_owned()).collect(),
    }
}

/// Ends the traffic, also where an assertion fails meanwhile.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many requests a second come while the page is looked at, and over how many connections.
const RATE: u32 = 1_000;
const CLIENTS: u32 = 8;

/// One of the clients: sends at its share of the rate until it is told to end, or for two minutes.
fn traffic(proxy: &Proxy, is_over: &AtomicBool) -> u32 {
    let mut client = Client::connect(proxy.public());
    let begun = Instant::now();
    for number in 0..120 * RATE / CLIENTS {
        if is_over.load(Ordering::Relaxed) {
            return number;
        }
        let path = format!("/cart/{}?q=%3Cscript%3E", number % 100);
        let fields = [("host", "shop.test"), ("user-agent", NASTY)];
        client.request("GET", &path, &fields, b"");
        client.read_response();
        // A machine that is too slow for the rate goes as fast as it can.
        let due = Duration::from_secs(u64::from(number)) * CLIENTS / RATE;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    120 * RATE / CLIENTS
}

/// Each view, with a failed exchange and the endpoint that fails.
fn views(trace: &str, guilty: &str) -> Vec<View> {
    vec![
        view(
            "now",
            "",
            "document.querySelectorAll('.node').length >= 4 && document.querySelector('.route p a')?.href.startsWith('https://grafana.test/d/edge?var-route=web&from=1')",
            &["failing since", "status_500", "Take out"],
        ),
        view(
            "why",
            "#why=all",
            "document.querySelectorAll('#why tr').length > 0",
            &["What sets them apart", "endpoint"],
        ),
        view(
            "hour",
            "#hour=all",
            "document.querySelectorAll('#hour-words tr').length > 0",
            &["status_500", "The service itself answered so"],
        ),
        view(
            "inflight",
            "#show=inflight",
            "document.getElementById('inflight-note').textContent.length > 0",
            &["connections of clients"],
        ),
        view(
            "limits",
            "#show=limits",
            "document.querySelectorAll('#limits tr').length > 0",
            &["99.9 %", "spent", "of 100"],
        ),
        view(
            "config",
            "#show=config",
            "document.querySelectorAll('#events tr').length > 0",
            &["ready", "round_robin"],
        ),
        view(
            "exchange",
            &format!("#trace={trace}"),
            "document.querySelector('#detail .ruling')",
            &["Attempts in time", "Why it went this way", "<img src=x"],
        ),
        view(
            "hold",
            &format!("#hold=web {guilty}"),
            "document.getElementById('hold-endpoint').open",
            &["Take out", "It comes back by itself"],
        ),
    ]
}

/// Each view at the width of a desk, light and dark, and of a telephone.
fn looks(views: &[View], admin: &str) -> Vec<Look> {
    let mut looks = Vec::new();
    for view in views {
        for (width, height, is_dark) in [(1280, 1000, false), (1280, 1000, true), (375, 800, false)]
        {
            looks.push(Look {
                name: format!(
                    "{}-{width}{}",
                    view.name,
                    if is_dark { "-dark" } else { "" }
                ),
                url: format!("http://{admin}/{}", view.fragment),
                size: (width, height),
                is_dark,
                wait: view.wait.to_owned(),
                clicks: Vec::new(),
                keys: if width == 375 { 0 } else { 8 },
                also: None,
            });
        }
    }
    looks
}

fn assert_good(seen: &Value, view: &View, admin: &str) {
    let name = &seen["name"];
    let text = seen["text"].as_str().unwrap_or_default();
    assert_eq!(seen["isThere"], true, "{name} is not drawn: {text}");
    assert_eq!(seen["console"], json!([]), "{name}");
    assert_eq!(seen["hosts"], json!([admin]), "{name}");
    assert_eq!(seen["live"], 0, "{name}: an element came from traffic");
    let overflow = seen["overflow"].as_i64().expect("a number");
    assert!(overflow <= 0, "{name} is {overflow} px too wide");
    for word in &view.words {
        assert!(text.contains(word), "{name} does not say {word}: {text}");
    }
}

#[test]
fn every_view_of_the_page_is_whole_in_chromium() {
    let Some(eyes) = Eyes::open() else { return };
    let (good, bad) = (
        Upstream::ok("hello"),
        Upstream::answering(|_| reply(500, &[], "no")),
    );
    let config = Config::new(good.address())
        .endpoint(bad.address())
        .upstream("balance: round_robin")
        .route("slo: {availability: 99.9%}")
        .route("concurrency: 100")
        // At this rate the usual memory holds failures of a minute or so, and a slow machine looks for longer.
        .telemetry("recorder: {memory: 512MiB}")
        .admin(
            "links: {dashboard: 'https://grafana.test/d/edge?var-route={route}&from={from_ms}'}",
        );
    let proxy = Proxy::start(config);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| traffic(&proxy, &is_over)))
            .collect();
        let over = Over(&is_over);
        proxy.wait_until("a finding with figures", || {
            let told = proxy.get_admin("/api/v1/verdict").json();
            told["findings"][0]["evidence"]["is_thin"] == false
        });
        let failed = proxy.get_admin("/api/v1/exchanges?limit=1&filter=status%3d%3d500");
        let trace = failed.json()["exchanges"][0]["trace_id"].clone();
        let trace = trace.as_str().expect("a failed exchange").to_owned();
        let by_key = views(&trace, &bad.address().to_string());
        let admin = format!("localhost:{}", proxy.admin().port());
        let all = eyes.look(&looks(&by_key, &admin));
        drop(over);
        let sent = clients.into_iter().map(|it| it.join().expect("a client"));
        let rate = f64::from(sent.sum::<u32>()) / begun.elapsed().as_secs_f64();
        println!("looked at beside {rate:.0} requests a second");
        assert_eq!(all.len(), 3 * by_key.len());
        let stumbles: Vec<_> = all.iter().map(|it| &it["violations"]).collect();
        assert!(stumbles.iter().all(|it| **it == json!([])), "{stumbles:?}");
        for (index, seen) in all.iter().enumerate() {
            assert_good(seen, &by_key[index / 3], &admin);
            println!("{}: first paint after {} ms", seen["name"], seen["paint"]);
        }
        // The keyboard reaches the way past everything first, then the verdict's links.
        let focused = all[0]["focused"].to_string();
        for stop in ["Skip to the last exchanges", "why", "Now"] {
            assert!(focused.contains(stop), "{stop}: {focused}");
        }
    });
    proxy.finish();
}

/// Opens each of these exchanges on the page, and tells which were not shown, and what in them was live.
fn opened(traces: &[String]) -> String {
    let traces = json!(traces);
    format!(
        "(async () => {{
            const live = [], dialog = document.getElementById('detail');
            const missing = [];
            for (const trace of {traces}) {{
                location.hash = '#trace=' + trace;
                const isThere = () => dialog.open && dialog.textContent.includes(trace) && dialog.querySelector('.ruling');
                for (let tries = 0; tries < 1000 && !isThere(); tries++)
                    await new Promise((later) => setTimeout(later, 10));
                if (!isThere()) missing.push(trace + ' ' + dialog.innerText.slice(0, 200));
                live.push(...[...document.querySelectorAll('*')].filter(isLive).map((it) => it.outerHTML.slice(0, 200)));
            }}
            return {{ missing, live }};
        }})()"
    )
}

#[test]
fn nothing_that_hostile_clients_say_is_live_on_the_page() {
    let Some(eyes) = Eyes::open() else { return };
    let upstream = Upstream::answering(|request| {
        let is_hostile = request.headers.get("x-tenant").is_some();
        reply(if is_hostile { 500 } else { 200 }, &[], "no")
    });
    let config = Config::new(upstream.address())
        .listener("limits: {head: 256KiB, uri: 64KiB}")
        .telemetry("headers: [x-tenant]");
    let proxy = Proxy::start(config);
    send_all(&proxy);
    // A value of many that fail, so that `why` names it.
    let mut client = Client::connect(proxy.public());
    for number in 0..80 {
        let fields = [("host", "shop.test"), ("x-tenant", NASTY)];
        let fields = if number % 2 == 0 {
            &fields[..]
        } else {
            &fields[..1]
        };
        client.request("GET", "/", fields, b"");
        client.read_response();
    }
    let recorded = || proxy.get_admin("/api/v1/exchanges?limit=1000").json();
    proxy.wait_until("all are recorded", || {
        let count = "http_server_request_duration_seconds_count";
        let kept = recorded()["exchanges"].as_array().map_or(0, Vec::len);
        kept as f64 == proxy.metrics().sum(count, &[])
    });
    let page = recorded();
    let all = page["exchanges"].as_array().expect("a list").iter();
    let traces: Vec<_> = all
        .map(|it| it["trace_id"].as_str().expect("an id").to_owned())
        .collect();
    assert!(traces.len() > 200, "{}", traces.len());
    let look = |name: &str, fragment: &str, wait: &str, also| Look {
        name: name.to_owned(),
        url: format!("http://localhost:{}/{fragment}", proxy.admin().port()),
        size: (1280, 1000),
        is_dark: false,
        wait: wait.to_owned(),
        clicks: Vec::new(),
        keys: 0,
        also,
    };
    let looks = [
        look(
            "hostile-list",
            "",
            "document.querySelectorAll('#rows tr').length > 0",
            Some(opened(&traces)),
        ),
        look(
            "hostile-why",
            "#why=error",
            "document.getElementById('why').textContent.includes('<img')",
            None,
        ),
    ];
    let seen = eyes.look(&looks);
    assert_eq!(
        seen[0]["also"],
        json!({"missing": [], "live": []}),
        "each exchange was shown, and none had anything live in it"
    );
    for page in &seen {
        let name = &page["name"];
        assert_eq!(page["live"], 0, "{name}");
        assert_eq!(page["console"], json!([]), "{name}: nothing was even tried");
        let admin = format!("localhost:{}", proxy.admin().port());
        assert_eq!(page["hosts"], json!([admin]), "{name}");
    }
    proxy.finish();
}
