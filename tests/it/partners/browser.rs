//! A real browser: a page over TLS that asks, listens to events and talks over a WebSocket, over both protocols.

use serde_json::{Value, json};

use super::super::rig::partner::{Chromium, partner, python_with};
use super::super::rig::{
    Authority, Config, Gate, Proxy, Request, Script, Upstream, reply, try_wait_until,
};
use super::Served;
use super::sockets::PYTHON_SERVER;

const PAGE: &str = include_str!("page.html");
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// The service of the page: the page with two cookies, what it sends to `/data`, and the gate that `/go` opens.
fn service(request: &Request, gate: &Gate) -> Vec<u8> {
    match request.target.as_str() {
        "/" => {
            let head = [
                ("content-type", "text/html"),
                ("set-cookie", "first=1; Secure"),
                ("set-cookie", "second=2; HttpOnly"),
            ];
            reply(200, &head, PAGE)
        }
        "/data" => reply(200, &[], &request.body),
        "/go" => {
            gate.open();
            reply(204, &[], "")
        }
        "/seen" => reply(204, &[], ""),
        _ => reply(404, &[], ""),
    }
}

/// What the page has told.
fn told(upstream: &Upstream) -> Option<Value> {
    let requests = upstream.all_requests();
    let seen = requests
        .iter()
        .find(|request| request.target == "/seen" && request.is_complete)?;
    serde_json::from_slice(&seen.body).ok()
}

/// Opens the page over a listener with these protocols; gives what the page saw and the access log, a line a path.
fn browse(protocols: &str) -> Option<(Value, Vec<Value>)> {
    partner("chromium")?;
    let python = python_with("websockets")?;
    let (authority, gate) = (Authority::new(), Gate::new());
    let identity = authority.server(&["localhost"]);
    let opening = gate.clone();
    let page = Upstream::answering(move |request| service(request, &opening));
    let events = Upstream::script(
        Script::new()
            .read_head()
            .send(EVENTS)
            .send("data: first\n\n")
            .wait(&gate)
            .send("data: second\n\n")
            .read_to_end(),
    );
    let chat = Served::start(&python, PYTHON_SERVER);
    let mut config = Config::new(page.address())
        .listener(&format!("tls: {{certificates: [{}]}}", identity.yaml()))
        .listener(&format!("protocols: [{protocols}]"));
    for (name, address) in [("events", events.address()), ("chat", chat.address)] {
        config = config
            .more_routes(&format!(
                "- {{name: {name}, match: {{path: {{prefix: /{name}}}}}, upstream: {name}}}\n"
            ))
            .more_upstreams(&format!(
                "- {{name: {name}, endpoints: [{{address: {address}}}]}}\n"
            ));
    }
    let proxy = Proxy::start(config);
    let url = format!("https://localhost:{}/", proxy.public().port());
    let browser = Chromium::open(&url, &identity)?;
    assert!(
        try_wait_until(Chromium::PATIENCE, || told(&page).is_some()),
        "the page told nothing\n{}\n{}",
        browser.said(),
        proxy.stdout()
    );
    let lines = proxy.wait_log_lines(6);
    let console = browser.console();
    assert!(
        console.len() == 1 && console[0].contains("a word of the page"),
        "{console:#?}"
    );
    let requests = page.all_requests();
    let data = requests.iter().find(|it| it.target == "/data");
    let cookies = data.expect("it was asked").headers.all("cookie");
    assert_eq!(
        cookies,
        ["first=1; second=2"],
        "one field, as HTTP/1.1 has it"
    );
    drop(browser);
    proxy.finish();
    Some((told(&page).expect("it was told"), lines))
}

/// The line of a path.
fn line<'a>(lines: &'a [Value], path: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["path"] == path);
    found.unwrap_or_else(|| panic!("no line of {path}: {lines:#?}"))
}

fn assert_whole(seen: &Value, lines: &[Value], protocol: &str) {
    let expected = json!({
        "fetch": "200 true",
        "events": "first second",
        "socket": "echo permessage-deflate hello true 1000",
        "protocols": [protocol],
    });
    assert_eq!(*seen, expected, "{lines:#?}");
    for line in lines {
        assert_eq!(line["tls"], "1.3", "{line}");
        // The page has closed its stream of events, which knows no other end.
        let is_left = line["path"] == "/events";
        let outcome = if is_left { "client_closed" } else { "served" };
        assert_eq!(line["outcome"], outcome, "{line}");
    }
    let tunnel = line(lines, "/chat");
    assert_eq!(tunnel["tunnel"], "websocket", "{tunnel}");
    for bytes in ["bytes_in", "bytes_out"] {
        assert!(tunnel[bytes].as_u64() > Some(1 << 20), "{tunnel}");
    }
}

#[test]
fn chromium_asks_listens_and_talks_over_one_http2_connection() {
    let Some((seen, lines)) = browse("http1, http2") else {
        return;
    };
    assert_whole(&seen, &lines, "h2");
    for line in &lines {
        assert_eq!(line["protocol"], "HTTP/2", "{line}");
        assert_eq!(line["connection"], lines[0]["connection"], "{lines:#?}");
    }
    assert_eq!(line(&lines, "/chat")["method"], "CONNECT");
}

#[test]
fn chromium_does_the_same_over_http1() {
    let Some((seen, lines)) = browse("http1") else {
        return;
    };
    assert_whole(&seen, &lines, "http/1.1");
    assert!(lines.iter().all(|line| line["protocol"] == "HTTP/1.1"));
    assert_eq!(line(&lines, "/chat")["method"], "GET");
}
