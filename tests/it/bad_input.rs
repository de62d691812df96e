//! What goes wrong on either side: each fault has its status, its word in every signal, and leaves nothing behind.

mod clients;
mod requests;
mod upstreams;
pub(crate) mod words;

use serde_json::Value;

use super::rig::{Proxy, Response};

/// What a fault looks like from outside.
struct Fault {
    status: u16,
    outcome: &'static str,
    side: &'static str,
}

const fn fault(status: u16, outcome: &'static str, side: &'static str) -> Fault {
    Fault {
        status,
        outcome,
        side,
    }
}

/// How many connections ended badly for this reason.
fn errors(proxy: &Proxy, reason: &str) -> f64 {
    let labels = [("listener", "public"), ("reason", reason)];
    proxy
        .metrics()
        .sum("sightglass_connection_errors_total", &labels)
}

// === impl Fault ===

impl Fault {
    /// Asserts that this answer is the proxy's own and tells of the fault.
    fn assert_answer(&self, response: &Response) {
        assert_eq!(response.status, self.status, "{response:?}");
        let proxy_status = response.header("proxy-status").unwrap_or_default();
        assert_eq!(proxy_status, format!("sightglass; error={}", self.outcome));
        let media_type = response.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"));
        let problem = response.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["outcome"], self.outcome);
        let is_text = |key: &str| problem[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(is_text("type") && is_text("title") && is_text("trace_id"));
        assert_eq!(
            response.header("x-request-id"),
            problem["trace_id"].as_str()
        );
    }

    /// Asserts that the log and the metrics tell of it, by its line.
    fn assert_told(&self, proxy: &Proxy, line: &Value) {
        assert_eq!(line["outcome"], self.outcome, "{line}");
        assert_eq!(line["status"], self.status, "{line}");
        assert_eq!(line["side"], self.side, "{line}");
        let (status, metrics) = (self.status.to_string(), proxy.metrics());
        let labels = [
            ("outcome", self.outcome),
            ("http_response_status_code", &status),
        ];
        let count = metrics.sum("http_server_request_duration_seconds_count", &labels);
        assert!(count >= 1.0, "no sample has {labels:?}");
        assert_eq!(metrics.sum("http_server_active_requests", &[]), 0.0);
    }

    /// Both, for the only exchange so far.
    fn assert_only(&self, proxy: &Proxy, response: &Response) -> Value {
        self.assert_answer(response);
        let line = proxy.wait_log_lines(1).remove(0);
        assert_eq!(line["trace_id"], response.json()["trace_id"]);
        self.assert_told(proxy, &line);
        line
    }
}
