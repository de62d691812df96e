//! One exchange as people read it: what was asked, what came of it, where the time went, and what was decided.
//!
//! Plain columns, 100 wide at most where the texts allow it; times are UTC and milliseconds since the first byte.

use serde_json::Value;

use super::read::{list, number, text};
use crate::config::harmless;

/// How wide a bar is, in characters.
const BAR: usize = 40;

/// The whole page.
pub(super) fn draw(exchange: &Value, is_coloured: bool) -> String {
    let mut page = Page {
        out: String::new(),
        is_coloured,
        whole: number(&exchange["duration_ms"]).unwrap_or_default(),
    };
    page.title(exchange);
    page.facts(exchange);
    page.attempts(exchange);
    page.phases(exchange);
    page.out
}

struct Page {
    out: String,
    is_coloured: bool,
    /// The length of the exchange in milliseconds.
    whole: f64,
}

// === impl Page ===

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(&format!("  {name:<11} {value}"));
        }
    }

    /// A text in red where something is wrong.
    fn marked(&self, text: String, is_wrong: bool) -> String {
        match self.is_coloured && is_wrong {
            true => format!("\u{1b}[31m{text}\u{1b}[0m"),
            false => text,
        }
    }

    fn title(&mut self, it: &Value) {
        let outcome = text(&it["outcome"]);
        let status = number(&it["status"]).unwrap_or_default();
        let is_wrong = outcome != "served" || status >= 500.0;
        let answer = self.marked(format!("{status} {outcome}"), is_wrong);
        let asked = format!(
            "{} {}{}",
            text(&it["method"]),
            text(&it["host"]),
            text(&it["path"])
        );
        let query = text(&it["query"]);
        let query = if query.is_empty() {
            query
        } else {
            format!("?{query}")
        };
        self.line(&format!("{asked}{query}"));
        self.line(&format!("{answer} after {}", millis(self.whole)));
        self.line("");
    }

    fn facts(&mut self, it: &Value) {
        self.fact("trace", &text(&it["trace_id"]));
        self.fact("began", &text(&it["time"]));
        self.fact("detail", &text(&it["detail"]));
        let route = match text(&it["route"]) {
            route if route.is_empty() => "no route took it".to_owned(),
            route => route,
        };
        let generation = text(&it["config_generation"]);
        let listener = text(&it["listener"]);
        self.fact(
            "route",
            &format!("{route} (listener {listener}, configuration {generation})"),
        );
        let (client, peer) = (text(&it["client"]), text(&it["peer"]));
        let tls = match text(&it["tls"]) {
            tls if tls.is_empty() => "clear text".to_owned(),
            tls => format!("TLS {tls}"),
        };
        self.fact("because of", &text(&it["route_match"]));
        let protocol = text(&it["protocol"]);
        self.fact(
            "client",
            &format!("{client} from {peer}, {protocol}, {tls}"),
        );
        self.fact("user", &text(&it["user"]));
        self.fact("user agent", &text(&it["user_agent"]));
        let bytes = format!(
            "{} in, {} out",
            text(&it["bytes_in"]),
            text(&it["bytes_out"])
        );
        self.fact("body bytes", &bytes);
        let kept = text(&it["sampling_reason"]);
        self.fact("sampled", if kept.is_empty() { "no" } else { &kept });
        for (name, value) in it["headers"].as_object().into_iter().flatten() {
            self.fact("header", &format!("{}: {}", harmless(name), text(value)));
        }
        self.limits(&it["limits"]);
    }

    fn limits(&mut self, limits: &Value) {
        if let Some(rate) = limits.get("rate") {
            let (limit, left) = (text(&rate["limit"]), text(&rate["remaining"]));
            let reset = millis(number(&rate["reset_ms"]).unwrap_or_default());
            self.fact(
                "rate limit",
                &format!("{left} of {limit} left, reset after {reset}"),
            );
        }
        if let Some(concurrency) = limits.get("concurrency") {
            let (limit, live) = (text(&concurrency["limit"]), text(&concurrency["live"]));
            self.fact("concurrency", &format!("{live} of {limit} at once"));
        }
    }

    fn attempts(&mut self, it: &Value) {
        let attempts = list(&it["attempts"]);
        let more = list(&it["attempt_phases"]);
        self.line("");
        let upstream = text(&it["upstream"]);
        if attempts.is_empty() {
            return self.line("no attempt was made");
        }
        self.line(&format!("attempts at {upstream}"));
        for (index, attempt) in attempts.iter().enumerate() {
            self.attempt(index + 1, attempt, more.get(index).unwrap_or(&Value::Null));
        }
    }

    fn attempt(&mut self, nth: usize, attempt: &Value, more: &Value) {
        let outcome = text(&attempt["outcome"]);
        let status = text(&attempt["status"]);
        let answer = format!("{status} {outcome}");
        let is_wrong = outcome != "served" || status.starts_with('5');
        let answer = self.marked(answer.trim_start().to_owned(), is_wrong);
        let connection = match &attempt["reused"] {
            Value::Bool(true) => "on a connection that was there",
            _ => "on a new connection",
        };
        let again = if more["resend"] == true {
            ", sent again"
        } else {
            ""
        };
        let endpoint = text(&attempt["endpoint"]);
        self.line(&format!(
            "  {nth:>2} {endpoint}  {answer}, {connection}{again}"
        ));
        self.considered(more);
        let from = number(&more["started_ms"]).unwrap_or_default();
        let to = number(&more["ended_ms"]).unwrap_or(from);
        self.bar("attempt", from, to);
        let mut steps: Vec<(&str, f64)> = more["entered_ms"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(phase, at)| Some((phase.as_str(), number(at)?)))
            .collect();
        steps.sort_by(|one, other| one.1.total_cmp(&other.1));
        for (index, (phase, at)) in steps.iter().enumerate() {
            let next = steps.get(index + 1).map_or(to, |(_, at)| *at);
            self.bar(&format!("  {}", harmless(phase)), *at, next);
        }
    }

    /// What the balancer looked at.
    fn considered(&mut self, more: &Value) {
        let ready = text(&more["ready"]);
        let compared: Vec<String> = list(&more["candidates"])
            .iter()
            .map(|it| format!("{} (load {})", text(&it["endpoint"]), text(&it["load"])))
            .collect();
        match (ready.as_str(), compared.as_slice()) {
            ("", _) => {}
            (ready, []) => self.line(&format!("     picked of {ready} ready")),
            (ready, compared) => {
                let compared = compared.join(" against ");
                self.line(&format!("     picked of {ready} ready: {compared}"));
            }
        }
    }

    /// A row of the waterfall.
    fn bar(&mut self, name: &str, from: f64, to: f64) {
        let column = |at: f64| place(at, self.whole);
        let (first, last) = (column(from).min(BAR - 1), column(to));
        let filled = last.saturating_sub(first).max(1);
        let bar = format!("{}{}", " ".repeat(first), "█".repeat(filled));
        let (from, took) = (millis(from), millis(to - from));
        self.line(&format!("     {name:<16} {from:>12} {took:>12}  {bar}"));
    }

    /// Where the time went, to the microsecond: attempts add up.
    fn phases(&mut self, it: &Value) {
        let phases: Vec<(String, f64)> = it["phases_ms"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(phase, time)| Some((harmless(phase), number(time)?)))
            .collect();
        if phases.is_empty() {
            return;
        }
        self.line("");
        self.line("where the time went");
        for name in PHASES {
            let found = phases.iter().filter(|(phase, _)| phase == name);
            for (phase, time) in found {
                let share = if self.whole > 0.0 {
                    time / self.whole
                } else {
                    0.0
                };
                let filled = place(*time, self.whole);
                let bar = "█".repeat(filled);
                let percent = share * 100.0;
                let took = millis(*time);
                self.line(&format!(
                    "     {phase:<16} {took:>12} {percent:>11.1}%  {bar}"
                ));
            }
        }
    }
}

/// The phases, in their order.
const PHASES: [&str; 12] = [
    "receive",
    "admit",
    "backoff",
    "pick",
    "dns",
    "connect",
    "tls",
    "send_client",
    "send_upstream",
    "wait",
    "body_upstream",
    "body_client",
];

/// The column of a moment.
fn place(at: f64, whole: f64) -> usize {
    if whole.is_nan() || whole <= 0.0 {
        return 0;
    }
    let share = (at / whole).clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to the width of a bar"
    )]
    let column = (share * BAR as f64).round() as usize;
    column.min(BAR)
}

fn millis(time: f64) -> String {
    if time >= 10_000.0 {
        format!("{:.3} s", time / 1000.0)
    } else {
        format!("{time:.3} ms")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange() -> Value {
        json!({
            "time": "2026-01-31T23:59:59.123Z", "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "listener": "public", "route": "checkout", "route_match": "path prefix /cart, method POST", "upstream": "checkout", "client": "10.1.2.3",
            "peer": "10.0.0.1:4000", "method": "GET", "host": "shop.test", "path": "/cart",
            "query": "a=1", "protocol": "HTTP/1.1", "status": 200, "outcome": "served",
            "duration_ms": 40.0, "config_generation": 3, "bytes_in": 0, "bytes_out": 100,
            "phases_ms": {"wait": 30.0, "admit": 1.0, "connect": 9.0},
            "headers": {"x-tenant": "a"},
            "limits": {"rate": {"limit": 200, "remaining": 199, "reset_ms": 10.0},
                "concurrency": {"limit": 512, "live": 3}},
            "attempts": [
                {"endpoint": "127.0.0.1:9001", "outcome": "connection_refused", "duration_ms": 9.0, "reused": false},
                {"endpoint": "127.0.0.1:9002", "status": 200, "outcome": "served", "duration_ms": 30.0, "reused": true}],
            "attempt_phases": [
                {"started_ms": 1.0, "ended_ms": 10.0, "ready": 2, "entered_ms": {"connect": 1.0},
                    "candidates": [{"endpoint": "127.0.0.1:9001", "load": 0.001}, {"endpoint": "127.0.0.1:9002", "load": 0.002}]},
                {"started_ms": 10.0, "ended_ms": 40.0, "ready": 1, "entered_ms": {"wait": 10.0}}],
        })
    }

    #[test]
    fn the_page_tells_the_exchange_its_attempts_and_its_time() {
        let page = draw(&exchange(), false);
        for line in [
            "GET shop.test/cart?a=1",
            "200 served after 40.000 ms",
            "  began       2026-01-31T23:59:59.123Z",
            "  route       checkout (listener public, configuration 3)",
            "  because of  path prefix /cart, method POST",
            "  header      x-tenant: a",
            "  rate limit  199 of 200 left, reset after 10.000 ms",
            "  concurrency 3 of 512 at once",
            "   1 127.0.0.1:9001  connection_refused, on a new connection",
            "     picked of 2 ready: 127.0.0.1:9001 (load 0.001) against 127.0.0.1:9002 (load 0.002)",
            "   2 127.0.0.1:9002  200 served, on a connection that was there",
            "     picked of 1 ready",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
        let bar = |name: &str| {
            let line = page.lines().rfind(|it| it.trim_start().starts_with(name));
            let line = line.expect(name).to_owned();
            line.chars().filter(|it| *it == '█').count()
        };
        assert_eq!((bar("wait"), bar("connect"), bar("admit")), (30, 9, 1));
        assert!(!page.contains('\u{1b}'));
        assert!(draw(&exchange(), true).contains("\u{1b}[31mconnection_refused\u{1b}[0m"));
        assert!(
            page.lines().all(|line| line.chars().count() <= 100),
            "{page}"
        );
    }

    #[test]
    fn what_is_not_there_is_left_out_and_nothing_panics() {
        for it in [
            json!({}),
            json!([]),
            json!({"phases_ms": {"wait": 1.0}, "duration_ms": 0.0}),
        ] {
            assert!(!draw(&it, false).is_empty());
        }
        let page = draw(
            &json!({"status": 404, "outcome": "destination_not_found"}),
            false,
        );
        assert!(page.contains("no route took it") && page.contains("no attempt was made"));
    }

    #[test]
    fn nothing_of_a_stranger_steers_the_terminal() {
        let nasty = "\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{202e}abc\u{2066}";
        let mut it = exchange();
        for name in [
            "path",
            "host",
            "method",
            "query",
            "user_agent",
            "detail",
            "user",
            "route",
        ] {
            it[name] = json!(nasty);
        }
        it["headers"] = json!({ nasty: nasty });
        it["attempts"][0]["outcome"] = json!(nasty);
        let page = draw(&it, false);
        assert!(
            !page.chars().any(|c| c != '\n'
                && (c.is_control()
                    || ('\u{2028}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c))),
            "{page:?}"
        );
    }
}
