//! The rows of each pane, made of the admin port's JSON.

use serde_json::Value;

use super::sheet::{Cell, Column, Row, Sheet, figure, text as words};
use crate::top::read::{list, number, text};

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Route(String),
    Upstream(String),
    Endpoint {
        upstream: String,
        endpoint: String,
    },
    /// By its trace id.
    Exchange(String),
    /// By its address.
    Peer(String),
}

const ROUTES: &[Column] = &[
    words("ROUTE"),
    figure("REQ/S"),
    figure("FAILED"),
    figure("P50 MS"),
    figure("P99 MS"),
    words("LAST MINUTE"),
];
const UPSTREAMS: &[Column] = &[
    words("UPSTREAM"),
    figure("ATT/S"),
    figure("FAILED"),
    figure("P50 MS"),
    figure("P99 MS"),
    figure("ACTIVE"),
    figure("IDLE"),
    figure("OPENED"),
    words("ENDPOINTS"),
];
const ENDPOINTS: &[Column] = &[
    words("ENDPOINT"),
    words("UPSTREAM"),
    words("STATE"),
    figure("ATT/S"),
    figure("FAILED"),
    figure("P50 MS"),
    figure("P99 MS"),
    figure("ACTIVE"),
];
const IN_FLIGHT: &[Column] = &[
    figure("AGE MS"),
    words("PHASE"),
    figure("IN PHASE"),
    words("ASKED"),
    words("ROUTE"),
    words("ENDPOINT"),
    words("CLIENT"),
];
const CONNECTIONS: &[Column] = &[
    words("PEER"),
    figure("CONNECTIONS"),
    figure("IDLE"),
    figure("ACTIVE"),
    figure("OLDEST MS"),
];
const EXCHANGES: &[Column] = &[
    words("BEGAN"),
    figure("STATUS"),
    figure("TOOK MS"),
    words("ASKED"),
    words("ROUTE"),
    words("ENDPOINT"),
    words("OUTCOME"),
];

/// Requests a second of the last minute: a sign for three seconds.
const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn routes(round: &Value) -> Sheet<Subject> {
    let rows = list(&round["routes"]["routes"]).iter().map(|it| {
        let mut cells = vec![name(&it["route"])];
        let is_bad = figures(it, &mut cells);
        cells.push(Cell::Text(minute(list(&it["requests"]))));
        Row {
            cells,
            is_bad,
            subject: Subject::Route(text(&it["route"])),
        }
    });
    sheet(ROUTES, rows.collect())
}

pub(super) fn upstreams(round: &Value) -> Sheet<Subject> {
    let rows = list(&round["upstreams"]["upstreams"]).iter().map(|it| {
        let upstream = text(&it["upstream"]);
        let mut cells = vec![name(&it["upstream"])];
        let ways = list(&round["map"]["upstreams"]);
        let way = ways.iter().find(|way| way["upstream"] == it["upstream"]);
        let is_bad = figures(way.unwrap_or(&Value::Null), &mut cells);
        for of in ["active", "idle", "opened"] {
            cells.push(count(&it["connections"][of]));
        }
        let endpoints = list(&it["endpoints"]);
        let out = endpoints.iter().filter(|it| it["state"] != "ready").count();
        cells.push(Cell::Text(match out {
            0 => endpoints.len().to_string(),
            _ => format!("{} ({out} out)", endpoints.len()),
        }));
        Row {
            cells,
            is_bad,
            subject: Subject::Upstream(upstream),
        }
    });
    sheet(UPSTREAMS, rows.collect())
}

pub(super) fn endpoints(round: &Value) -> Sheet<Subject> {
    let mut rows = Vec::new();
    for upstream in list(&round["upstreams"]["upstreams"]) {
        for it in list(&upstream["endpoints"]) {
            let mut cells = vec![name(&it["endpoint"]), name(&upstream["upstream"])];
            let state = text(&it["state"]);
            let who = text(&it["who"]);
            cells.push(Cell::Text(match who.is_empty() {
                true => state,
                false => format!("{state} by {who}"),
            }));
            let is_way = |way: &&Value| {
                way["upstream"] == upstream["upstream"] && way["endpoint"] == it["endpoint"]
            };
            let way = list(&round["map"]["endpoints"]).iter().find(is_way);
            let is_bad = figures(way.unwrap_or(&Value::Null), &mut cells);
            cells.push(count(&it["active_requests"]));
            let subject = Subject::Endpoint {
                upstream: text(&upstream["upstream"]),
                endpoint: text(&it["endpoint"]),
            };
            rows.push(Row {
                cells,
                is_bad,
                subject,
            });
        }
    }
    sheet(ENDPOINTS, rows)
}

pub(super) fn in_flight(page: &Value) -> Sheet<Subject> {
    let rows = list(&page["exchanges"]).iter().map(|it| Row {
        cells: vec![
            millis(&it["age_ms"]),
            name(&it["phase"]),
            millis(&it["in_phase_ms"]),
            asked(it),
            name(&it["route"]),
            name(&it["endpoint"]),
            name(&it["client"]),
        ],
        is_bad: false,
        subject: Subject::Exchange(text(&it["trace_id"])),
    });
    sheet(IN_FLIGHT, rows.collect())
}

/// Who holds the connections: a row an address.
pub(super) fn connections(page: &Value) -> Sheet<Subject> {
    let rows = list(&page["holders"]).iter().map(|it| Row {
        cells: vec![
            name(&it["peer"]),
            count(&it["connections"]),
            count(&it["idle"]),
            count(&it["active"]),
            millis(&it["oldest_ms"]),
        ],
        is_bad: false,
        subject: Subject::Peer(text(&it["peer"])),
    });
    sheet(CONNECTIONS, rows.collect())
}

pub(super) fn exchanges(page: &Value) -> Sheet<Subject> {
    let rows = list(&page["exchanges"]).iter().map(|it| {
        let began = text(&it["time"]);
        let status = number(&it["status"]).unwrap_or_default();
        Row {
            cells: vec![
                Cell::Text(began.get(11..23).unwrap_or(&began).to_owned()),
                count(&it["status"]),
                millis(&it["duration_ms"]),
                asked(it),
                name(&it["route"]),
                name(&it["endpoint"]),
                name(&it["outcome"]),
            ],
            is_bad: it["outcome"] != "served" || status >= 500.0,
            subject: Subject::Exchange(text(&it["trace_id"])),
        }
    });
    sheet(EXCHANGES, rows.collect())
}

fn sheet(columns: &'static [Column], rows: Vec<Row<Subject>>) -> Sheet<Subject> {
    Sheet { columns, rows }
}

/// Rate, share that failed, p50 and p99: says whether any failed. What no route takes is an error, and seldom news.
fn figures(it: &Value, cells: &mut Vec<Cell>) -> bool {
    let rate = number(&it["rate"]).unwrap_or_default();
    let errors = number(&it["error_rate"]).unwrap_or_default();
    let share = if rate > 0.0 { errors / rate } else { 0.0 };
    cells.push(Cell::Figure(rate, format!("{rate:.1}")));
    cells.push(match rate > 0.0 {
        true => Cell::Figure(share, format!("{:.1} %", share * 100.0)),
        false => Cell::None,
    });
    cells.push(millis(&it["p50_ms"]));
    cells.push(millis(&it["p99_ms"]));
    errors > number(&it["unrouted_rate"]).unwrap_or_default()
}

fn name(value: &Value) -> Cell {
    match text(value) {
        text if text.is_empty() => Cell::None,
        text => Cell::Text(text),
    }
}

fn count(value: &Value) -> Cell {
    number(value).map_or(Cell::None, |it| Cell::Figure(it, it.to_string()))
}

fn millis(value: &Value) -> Cell {
    number(value).map_or(Cell::None, |it| Cell::Figure(it, format!("{it:.1}")))
}

fn asked(it: &Value) -> Cell {
    let target = format!("{}{}", text(&it["host"]), text(&it["path"]));
    Cell::Text(format!("{} {target}", text(&it["method"])))
}

fn minute(seconds: &[Value]) -> String {
    let last = &seconds[seconds.len().saturating_sub(60)..];
    let sum = |chunk: &[Value]| chunk.iter().filter_map(number).sum::<f64>();
    let sums: Vec<f64> = last.chunks(3).map(sum).collect();
    let most = sums.iter().copied().fold(0.0, f64::max);
    let sign = |sum: &f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 7"
        )]
        let at = (sum / most * 7.0).ceil() as usize;
        if *sum > 0.0 { SIGNS[at.min(7)] } else { ' ' }
    };
    sums.iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(sheet: &Sheet<Subject>, row: usize) -> Vec<&str> {
        sheet.rows[row].cells.iter().map(Cell::shown).collect()
    }

    #[test]
    fn an_endpoint_has_the_figures_of_its_own_upstream() {
        let round = json!({
            "upstreams": {"upstreams": [
                {"upstream": "a", "endpoints": [{"endpoint": "h:1", "state": "drain", "who": "127.0.0.1", "active_requests": 2}]},
                {"upstream": "b", "endpoints": [{"endpoint": "h:1", "state": "ready", "who": null, "active_requests": 0}]},
            ]},
            "map": {"endpoints": [{"upstream": "b", "endpoint": "h:1", "rate": 4.0, "error_rate": 1.0, "p50_ms": 2.0, "p99_ms": 30.25}]},
        });
        let sheet = endpoints(&round);
        assert_eq!(
            shown(&sheet, 0),
            ["h:1", "a", "drain by 127.0.0.1", "0.0", "-", "-", "-", "2"]
        );
        assert_eq!(
            shown(&sheet, 1),
            ["h:1", "b", "ready", "4.0", "25.0 %", "2.0", "30.2", "0"]
        );
        assert_eq!((sheet.rows[0].is_bad, sheet.rows[1].is_bad), (false, true));
        assert_eq!(shown(&upstreams(&round), 0).last(), Some(&"1 (1 out)"));
    }

    #[test]
    fn what_found_no_route_is_no_bad_route() {
        let route = |name: &str, unrouted: f64| json!({"route": name, "rate": 4.0, "error_rate": 4.0, "unrouted_rate": unrouted, "requests": []});
        let round = json!({"routes": {"routes": [route("_unmatched", 4.0), route("web", 0.0)]}});
        let sheet = routes(&round);
        assert_eq!(shown(&sheet, 0)[2], "100.0 %");
        assert_eq!((sheet.rows[0].is_bad, sheet.rows[1].is_bad), (false, true));
    }

    #[test]
    fn connections_are_told_by_who_holds_them() {
        let page = json!({"holders": [
            {"peer": "10.0.0.1", "connections": 60, "idle": 59, "active": 1, "oldest_ms": 900.44},
            {"peer": "2001:db8::1", "connections": 1, "idle": 0, "active": 0, "oldest_ms": 2.0},
        ]});
        let sheet = connections(&page);
        assert_eq!(shown(&sheet, 0), ["10.0.0.1", "60", "59", "1", "900.4"]);
        let second = Subject::Peer("2001:db8::1".to_owned());
        assert_eq!(sheet.rows[1].subject, second);
    }

    #[test]
    fn the_last_minute_is_twenty_signs() {
        let mut seconds = vec![json!(0); 300];
        seconds[299] = json!(8);
        seconds[240] = json!(1);
        assert_eq!(minute(&seconds), format!("▂{}█", " ".repeat(18)));
        assert_eq!(minute(&[]), "");
    }

    #[test]
    fn an_older_port_or_a_strange_one_makes_empty_sheets_and_no_panic() {
        for it in [json!(null), json!([]), json!({"routes": 3})] {
            for make in [
                routes,
                upstreams,
                endpoints,
                in_flight,
                connections,
                exchanges,
            ] {
                assert!(make(&it).rows.is_empty());
            }
        }
        let nasty = json!({"exchanges": [{"path": "\u{1b}[2J", "time": "é"}, 3]});
        let sheet = exchanges(&nasty);
        assert!(!shown(&sheet, 0)[3].contains('\u{1b}'));
    }
}
