//! The flight recorder as people use it: filters, captured headers, decisions, dumps, and `sightglass trace`; [`in_flight`]
//! has what goes on now.

mod in_flight;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::rig::{Client, Config, Proxy, Response, Upstream, get, get_with, reply};

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn ask(proxy: &Proxy, method: &str, path: &str) -> Response {
    let mut client = Client::connect(proxy.admin());
    let host = proxy.admin().to_string();
    client.request(method, path, &[("host", &host)], b"");
    client.read_response_to(method)
}

/// The exchanges that a filter takes.
fn found(proxy: &Proxy, filter: &str) -> Vec<Value> {
    let answer = proxy.get_admin(&format!("/api/v1/exchanges?filter={}", encoded(filter)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    answer["exchanges"].as_array().expect("a list").clone()
}

fn wait_found(proxy: &Proxy, filter: &str, count: usize) -> Vec<Value> {
    proxy.wait_until(&format!("{count} exchanges with {filter}"), || {
        found(proxy, filter).len() == count
    });
    found(proxy, filter)
}

/// What the program says with these arguments: its exit code, what it prints, and what it complains about.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sightglass"))
        .args(args)
        .env_remove("NO_COLOR")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("it exits");
    (code, text(output.stdout), text(output.stderr))
}

fn trace(proxy: &Proxy, id: &str) -> (i32, String, String) {
    run(&["trace", id, "--admin", &format!("http://{}", proxy.admin())])
}

#[test]
fn a_filter_finds_by_what_the_exchange_was_and_by_kept_headers() {
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/bad" => reply(503, &[], "no"),
        _ => reply(200, &[], "yes"),
    });
    let proxy =
        Proxy::start(Config::new(upstream.address()).telemetry("headers: [X-Tenant, x-plan]"));
    for (path, tenant) in [("/bad", "a"), ("/bad", "b"), ("/good", "a"), ("/good", "b")] {
        get_with(
            proxy.public(),
            path,
            &[("x-tenant", tenant), ("authorization", "Bearer s3cret")],
        );
    }
    get(proxy.public(), "/good");
    wait_found(&proxy, "status>=200", 5);
    let bad = found(
        &proxy,
        "status>=500 && route==\"web\" && header[\"x-tenant\"]==\"a\" && phase.wait>0ms",
    );
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0]["headers"], json!({"x-tenant": "a"}));
    assert!(!bad[0].to_string().contains("s3cret"));
    assert_eq!(found(&proxy, "!header[\"x-tenant\"]").len(), 1);
    assert_eq!(
        found(&proxy, "client==\"127.0.0.0/8\" && path=~\"^/g\"").len(),
        3
    );
    proxy.finish();
}

#[test]
fn a_filter_that_cannot_be_read_points_at_the_column() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let filter = encoded("status>=500 && rout==\"a\"");
    for page in ["/api/v1/exchanges", "/api/v1/inflight"] {
        let answer = proxy.get_admin(&format!("{page}?filter={filter}"));
        assert_eq!(answer.status, 400, "{page}");
        let problem = answer.json();
        assert_eq!(
            (&problem["parameter"], &problem["column"]),
            (&json!("filter"), &json!(16))
        );
        assert_eq!(problem["hint"], "did you mean route?");
        let caret = format!("status>=500 && rout==\"a\"\n{}^", " ".repeat(15));
        assert_eq!(problem["caret"], caret);
    }
    proxy.finish();
}

#[test]
fn the_access_log_writes_what_its_filter_takes_and_the_books_agree() {
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/bad" => reply(503, &[], "no"),
        _ => reply(200, &[], "yes"),
    });
    let log = "access_log: {output: stdout, format: json, filter: 'status>=500 && path==\"/bad\"'}";
    let proxy = Proxy::start(Config::new(upstream.address()).access_log(log));
    for path in ["/a", "/bad", "/b", "/bad", "/c"] {
        get(proxy.public(), path);
    }
    wait_found(&proxy, "status>0", 5);
    proxy.wait_until("two lines", || proxy.log_lines().len() == 2);
    assert!(proxy.log_lines().iter().all(|line| line["path"] == "/bad"));
    let labels = |state| [("signal", "logs"), ("state", state)];
    proxy.wait_until("the books", || {
        let metrics = proxy.metrics();
        let sum = |state| metrics.sum("sightglass_telemetry_items_total", &labels(state));
        sum("created") == 2.0 && sum("exported") == 2.0 && sum("dropped") == 0.0
    });
    proxy.finish();
}

#[test]
fn check_names_the_place_of_a_filter_the_column_in_it_and_headers_that_are_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.yaml");
    let text = "listeners: [{name: l, address: 127.0.0.1:0}]\n\
        routes: [{name: r, match: {path: {prefix: /}}, upstream: u}]\n\
        upstreams: [{name: u, endpoints: [{address: 127.0.0.1:1}]}]\n\
        telemetry:\n  \
          access_log:\n    filter: status>=500 && header[\"x-tennant\"]\n  \
          headers: [x-tenant, authorization]\n  \
          recorder: {dump: /does/not/exist}\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("UTF-8");
    let (code, out, _) = run(&["check", file]);
    assert_eq!(code, 1);
    for line in [
        ":6:13: telemetry.access_log.filter: column 23 of the filter: the header field x-tennant is not kept (did you mean x-tenant?)",
        ":7:23: telemetry.headers[1]: authorization looks like a secret, which nobody should read here (a field that names the caller without proving it, such as x-tenant)",
        ":8:20: warning: telemetry.recorder.dump: /does/not/exist is no folder (dumps fail until it is one)",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    let (code, _, complaint) = run(&["run", "--config", file]);
    assert_eq!(code, 1, "{complaint}");
}

/// A proxy whose one exchange was refused by the first endpoint and served by the second.
fn retried(dump: &Path) -> (Proxy, Upstream, Value) {
    let dead = Upstream::refuse();
    let alive = Upstream::ok("hello");
    let config = Config::new(dead.address())
        .endpoint(alive.address())
        .upstream("balance: peak_ewma")
        .route("retry: {attempts: 3, when: [connect_failure]}")
        .route("rate_limit: {rate: 100/s, burst: 50, key: all}")
        .route("concurrency: 8")
        .telemetry("headers: [x-tenant]")
        .telemetry(&format!(
            "recorder: {{memory: 1MiB, dump: {}}}",
            dump.display()
        ));
    let proxy = Proxy::start(config);
    let mut sent = 0;
    proxy.wait_until("a retried exchange", || {
        get_with(
            proxy.public(),
            "/cart?token=abc",
            &[("x-tenant", "\u{202e}a")],
        );
        sent += 1;
        found(&proxy, "retried").len() == 1 || sent > 40
    });
    let exchange = wait_found(&proxy, "retried", 1).remove(0);
    (proxy, alive, exchange)
}

#[test]
fn an_exchange_tells_what_was_decided() {
    let folder = tempfile::tempdir().expect("a folder");
    let (proxy, alive, exchange) = retried(folder.path());
    assert_eq!(exchange["route_match"], "path prefix /");
    assert_eq!(exchange["limits"]["rate"]["limit"], 50);
    assert_eq!(
        exchange["limits"]["concurrency"],
        json!({"limit": 8, "live": 1})
    );
    let attempts = exchange["attempt_phases"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        (&attempts[0]["ready"], &attempts[1]["ready"]),
        (&json!(2), &json!(1))
    );
    let candidates = attempts[0]["candidates"]
        .as_array()
        .expect("two were compared");
    assert_eq!(candidates.len(), 2);
    assert!(
        candidates
            .iter()
            .all(|it| it["load"].as_f64().is_some_and(|load| load > 0.0))
    );
    let addresses: Vec<&Value> = candidates.iter().map(|it| &it["endpoint"]).collect();
    assert!(addresses.contains(&&json!(alive.address().to_string())));
    assert!(
        attempts[1]["candidates"].is_null(),
        "one alone is not compared"
    );
    let id = exchange["trace_id"].as_str().expect("an id");
    assert_eq!(
        proxy.get_admin(&format!("/api/v1/exchanges/{id}")).json(),
        exchange
    );
    proxy.finish();
}

#[test]
fn trace_prints_the_waterfall_from_the_admin_port_and_from_a_dump() {
    let folder = tempfile::tempdir().expect("a folder");
    let (proxy, alive, exchange) = retried(folder.path());
    let id = exchange["trace_id"].as_str().expect("an id").to_owned();
    let (code, live, complaint) = trace(&proxy, &id);
    assert_eq!((code, complaint.as_str()), (0, ""));
    let address = alive.address().to_string();
    for part in [
        "GET ",
        "/cart?token=REDACTED",
        "200 served after ",
        &id,
        "connection_refused, on a new connection",
        &address,
        "picked of 2 ready: ",
        "concurrency 1 of 8 at once",
        "because of  path prefix /",
        "where the time went",
        "wait",
    ] {
        assert!(live.contains(part), "{part}\n{live}");
    }
    assert!(
        !live.contains('\u{1b}'),
        "no colour in a pipe, and no stranger's escape: {live}"
    );
    assert!(
        live.contains("\\u{202e}a") && !live.contains('\u{202e}'),
        "{live}"
    );

    let dumped = ask(&proxy, "POST", "/api/v1/recorder/dump");
    assert_eq!(dumped.status, 200, "{}", dumped.text());
    let file = dumped.json()["file"].as_str().expect("a file").to_owned();
    assert!(Path::new(&file).starts_with(folder.path()));
    let lines = std::fs::read_to_string(&file)
        .expect("it is there")
        .lines()
        .count();
    assert_eq!(dumped.json()["exchanges"], lines - 1);
    proxy.wait_until("the event", || {
        let told = proxy.stderr();
        told.contains("recorder dumped") && told.contains("asked for by 127.0.0.1")
    });
    proxy.finish();
    let (code, dead, _) = run(&["trace", &id.to_uppercase(), "--file", &file]);
    let (waterfall, why) = live
        .split_once("\nwhy this route\n")
        .expect("a running process says why");
    assert!(why.contains("route web took it"), "{why}");
    assert_eq!(
        (code, dead.as_str()),
        (0, waterfall),
        "the dump tells the same when the process is gone, but for what its configuration would tell"
    );
    let (_, json, _) = run(&["trace", &id, "--file", &file, "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&json).expect("JSON"),
        exchange
    );
}

#[test]
fn who_is_not_known_is_told_so_in_one_sentence() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let id = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(
        proxy.get_admin(&format!("/api/v1/exchanges/{id}")).status,
        404
    );
    let address = format!("http://{}", proxy.admin());
    let (code, out, complaint) = trace(&proxy, id);
    let wanted = format!("sightglass: {address} has no exchange of trace {id}\n");
    assert_eq!((code, out.as_str(), complaint), (1, "", wanted));
    let (code, _, complaint) = trace(&proxy, "abc");
    assert_eq!((code, complaint.contains("is no trace id")), (1, true));
    let (code, _, complaint) = run(&["trace", id, "--file", "/does/not/exist"]);
    assert_eq!(
        (code, complaint.contains("cannot read /does/not/exist")),
        (1, true)
    );
    let (code, _, complaint) = run(&["trace", id, "--file", "Cargo.toml"]);
    assert_eq!((code, complaint.contains("is no dump")), (1, true));
    proxy.finish();
    let (code, _, complaint) = run(&["trace", id, "--admin", &address]);
    assert_eq!(
        (code, complaint.contains("cannot reach")),
        (1, true),
        "{complaint}"
    );
    let (code, _, complaint) = run(&["trace", id, "--admin", "https://127.0.0.1:1"]);
    assert_eq!((code, complaint.contains("is no address")), (1, true));
}

#[test]
fn trace_shows_its_token_to_a_port_that_wants_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (token, none) = (
        file("token", "s3cret-token\n"),
        file("none", "s3cret\u{7}token\n"),
    );
    let upstream = Upstream::ok("hello");
    // Whoever is on loopback may ask anyway: what is wrong with a token is told before it is shown.
    let config = Config::new(upstream.address()).admin(&format!("token_file: {token}"));
    let proxy = Proxy::start(config);
    get(proxy.public(), "/");
    let id = wait_found(&proxy, "status==200", 1)[0]["trace_id"].clone();
    let (id, admin) = (
        id.as_str().expect("an id").to_owned(),
        format!("http://{}", proxy.admin()),
    );
    let with = |file: &str| run(&["trace", &id, "--admin", &admin, "--token-file", file]);
    let (code, out, complaint) = with(&token);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(out.contains(&id), "{out}");
    let (code, _, complaint) = with(&none);
    assert_eq!(code, 1);
    assert!(
        complaint.contains("its first line is no token"),
        "{complaint}"
    );
    let (code, _, complaint) = with("/does/not/exist");
    assert_eq!(code, 1);
    assert!(
        complaint.contains("cannot read a token from"),
        "{complaint}"
    );
    proxy.finish();
}

#[test]
fn a_dump_needs_a_folder_a_post_and_nobodys_form() {
    let upstream = Upstream::ok("hello");
    let proxy = Proxy::start(Config::new(upstream.address()));
    let refused = ask(&proxy, "POST", "/api/v1/recorder/dump");
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("names no folder"));
    let read = ask(&proxy, "GET", "/api/v1/recorder/dump");
    assert_eq!((read.status, read.header("allow")), (405, Some("POST")));
    let mut client = Client::connect(proxy.admin());
    let host = proxy.admin().to_string();
    let form = [("host", host.as_str()), ("origin", "http://evil.test")];
    client.request("POST", "/api/v1/recorder/dump", &form, b"");
    assert_eq!(client.read_response().status, 403);
    proxy.finish();
}

/// No file of the process may grow beyond some KiB: to whoever writes, a disk that is full.
fn on_a_full_disk(command: &mut Command) {
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    limited
        .args(["-c", script, "sh"])
        .arg(command.get_program());
    limited.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    *command = limited;
}

#[test]
fn a_full_disk_costs_the_dump_and_no_request() {
    let upstream = Upstream::ok("hello");
    let folder = tempfile::tempdir().expect("a folder");
    let dump = format!("recorder: {{dump: {}}}", folder.path().display());
    let config = Config::new(upstream.address()).telemetry(&dump);
    let proxy = Proxy::start_with(config, on_a_full_disk);
    for _ in 0..60 {
        assert_eq!(get(proxy.public(), "/").status, 200);
    }
    wait_found(&proxy, "status==200", 60);
    let refused = ask(&proxy, "POST", "/api/v1/recorder/dump");
    assert_eq!(refused.status, 500, "{}", refused.text());
    let file = folder.path().display().to_string();
    assert!(refused.text().contains(&file), "{}", refused.text());
    proxy.wait_until("the event", || {
        proxy.stderr().contains("recorder not dumped")
    });
    let left = std::fs::read_dir(folder.path()).expect("it can be read");
    assert_eq!(left.count(), 0, "half a dump would be taken for one");
    assert_eq!(get(proxy.public(), "/").status, 200);
    proxy.finish();
}

#[test]
fn healthy_traffic_pushes_no_failure_out_of_a_small_recorder() {
    let upstream = Upstream::answering(|request| match request.target.as_str() {
        "/bad" => reply(503, &[], "no"),
        _ => reply(200, &[], "yes"),
    });
    let proxy = Proxy::start(Config::new(upstream.address()).telemetry("recorder: {memory: 1MiB}"));
    get(proxy.public(), "/bad");
    wait_found(&proxy, "status==503", 1);
    let mut client = Client::connect(proxy.public());
    for _ in 0..3_000 {
        client.request("GET", "/good", &[("host", "shop.test")], b"");
        assert_eq!(client.read_response().status, 200);
    }
    proxy.wait_until("all of them", || {
        proxy.get_admin("/api/v1/recorder").json()["seen"] == 3_001
    });
    let figures = proxy.get_admin("/api/v1/recorder").json();
    assert!(figures["held"].as_u64() < Some(3_001), "{figures}");
    assert!(figures["held_bytes"].as_u64() <= Some(1 << 20), "{figures}");
    assert_eq!(found(&proxy, "status==503").len(), 1);
    proxy.finish();
}
