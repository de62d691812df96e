//! The screen without a terminal: keys in, text out.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::ask::{Ask, News};
use super::draw::draw;
use super::look::{Look, Over, Pane, Wish};
use super::text;

fn round() -> Value {
    let route = |name: &str, rate: f64, errors: f64| json!({"route": name, "rate": rate, "error_rate": errors, "p50_ms": 4.0, "p99_ms": 210.0, "requests": vec![1; 300]});
    json!({
        "process": {"version": "0.1.0", "uptime_seconds": 11_525, "config_generation": 3},
        "verdict": {"findings": [{
            "sentence": "checkout: 20 % failing since 03:12 UTC, all on 10.0.0.7:9002, connection_refused",
            "filter": "route==\"checkout\" && error",
        }]},
        "routes": {"routes": [route("search", 30.0, 0.0), route("checkout", 10.0, 2.0)]},
        "upstreams": {"upstreams": [{
            "upstream": "checkout", "connections": {"active": 1, "idle": 2, "opened": 9},
            "endpoints": [
                {"endpoint": "10.0.0.7:9001", "state": "ready", "who": null, "active_requests": 0},
                {"endpoint": "10.0.0.7:9002", "state": "ready", "who": null, "active_requests": 4},
            ],
        }]},
        "map": {
            "upstreams": [{"upstream": "checkout", "rate": 10.0, "error_rate": 2.0, "p50_ms": 4.0, "p99_ms": 210.0}],
            "endpoints": [{"upstream": "checkout", "endpoint": "10.0.0.7:9002", "rate": 5.0, "error_rate": 2.0, "p50_ms": 4.0, "p99_ms": 210.0}],
        },
    })
}

fn look() -> Look {
    let mut look = Look::new("http://127.0.0.1:9901".to_owned(), false);
    look.take(News::Round(round()));
    look
}

fn screen(look: &mut Look) -> String {
    let mut terminal = Terminal::new(TestBackend::new(100, 20)).expect("a terminal");
    terminal.draw(|frame| draw(frame, look)).expect("drawn");
    terminal.backend().to_string()
}

fn press(look: &mut Look, code: KeyCode) -> Option<Wish> {
    look.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn asked(look: &mut Look, code: KeyCode) -> Ask {
    match press(look, code) {
        Some(Wish::Ask(ask)) => ask,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_verdict_comes_first_and_what_fails_most_stands_on_top() {
    let mut look = look();
    let screen = screen(&mut look);
    let line = |at: usize| screen.lines().nth(at).expect("a line").to_owned();
    assert!(
        line(0).contains("up 3 h 12 min") && line(0).contains("5.0 % failed"),
        "{screen}"
    );
    assert!(
        line(1).contains("all on 10.0.0.7:9002, connection_refused"),
        "{screen}"
    );
    assert!(
        line(2).contains("1 Routes") && line(3).contains("FAILED▼"),
        "{screen}"
    );
    assert!(
        line(4).contains("checkout") && line(4).contains("20.0 %"),
        "{screen}"
    );
    assert!(line(5).contains("search"), "{screen}");
    assert!(screen.contains("F10 Quit"), "{screen}");
}

#[test]
fn connections_that_are_refused_lead_to_who_holds_them_and_have_no_why() {
    let mut look = look();
    let mut round = round();
    let refused =
        json!({"sentence": "public: 9 connections refused since 03:12 UTC", "filter": null});
    let findings = round["verdict"]["findings"].as_array_mut();
    findings.expect("a list").insert(0, refused.clone());
    look.take(News::Round(round.clone()));
    let filter = "route==\"checkout\" && error".to_owned();
    assert_eq!(asked(&mut look, KeyCode::Char('v')), Ask::Why(Some(filter)));
    round["verdict"]["findings"] = json!([refused]);
    look.take(News::Round(round));
    assert_eq!(asked(&mut look, KeyCode::Char('v')), Ask::Why(None));
    assert_eq!(asked(&mut look, KeyCode::Char('5')), Ask::InFlight);
    let holder =
        json!({"peer": "10.0.0.66", "connections": 60, "idle": 60, "active": 0, "oldest_ms": 9.0});
    look.take(News::InFlight(json!({"holders": [holder]})));
    assert!(screen(&mut look).contains("10.0.0.66"));
    let worst = Ask::Worst("peer==\"10.0.0.66\"".to_owned());
    assert_eq!(asked(&mut look, KeyCode::Enter), worst);
}

#[test]
fn one_key_leads_from_the_verdict_to_why() {
    let mut look = look();
    let filter = "route==\"checkout\" && error".to_owned();
    assert_eq!(asked(&mut look, KeyCode::Char('v')), Ask::Why(Some(filter)));
    look.take(News::Page(
        "why".to_owned(),
        "endpoint 10.0.0.7:9002".to_owned(),
    ));
    assert!(screen(&mut look).contains("endpoint 10.0.0.7:9002"));
    assert_eq!(press(&mut look, KeyCode::Esc), None);
    assert!(screen(&mut look).contains("1 Routes"));
}

#[test]
fn enter_goes_from_the_route_to_its_failures_to_a_waterfall() {
    let mut look = look();
    let wanted = Ask::Worst("route==\"checkout\"".to_owned());
    assert_eq!(asked(&mut look, KeyCode::Enter), wanted);
    let it = json!({"exchanges": [
        {"trace_id": "aa", "time": "2026-01-31T23:59:59.123Z", "status": 502, "outcome": "connection_refused"},
        {"trace_id": "bb", "time": "2026-01-31T23:59:59.124Z", "status": 502, "outcome": "connection_refused"},
    ]});
    look.take(News::Exchanges("newest that failed".to_owned(), it));
    assert!(screen(&mut look).contains("23:59:59.124"));
    press(&mut look, KeyCode::Down);
    assert_eq!(
        asked(&mut look, KeyCode::Enter),
        Ask::Trace("bb".to_owned())
    );
    look.take(News::Page("exchange bb".to_owned(), "GET /\n".repeat(40)));
    press(&mut look, KeyCode::End);
    assert!(matches!(
        look.over.last(),
        Some(Over::Page { away: 39, .. })
    ));
    assert_eq!(asked(&mut look, KeyCode::Char('4')), Ask::InFlight);
    assert!(look.over.is_empty(), "another table lies under nothing");
}

#[test]
fn an_endpoint_is_taken_out_after_a_second_key_and_left_alone_after_another() {
    let mut look = look();
    assert_eq!(press(&mut look, KeyCode::F(9)), None);
    assert!(screen(&mut look).contains("choose an endpoint first"));
    press(&mut look, KeyCode::Char('3'));
    press(&mut look, KeyCode::F(9));
    assert!(screen(&mut look).contains("10.0.0.7:9002 of checkout:  d drain"));
    assert_eq!(press(&mut look, KeyCode::Char('x')), None);
    press(&mut look, KeyCode::F(9));
    let hold = Ask::Hold {
        upstream: "checkout".to_owned(),
        endpoint: "10.0.0.7:9002".to_owned(),
        state: "drain",
    };
    assert_eq!(asked(&mut look, KeyCode::Char('d')), hold);
    look.take(News::Said("it is out".to_owned()));
    assert!(screen(&mut look).contains("it is out"));
    look.take(News::Trouble("it would leave none".to_owned()));
    assert!(screen(&mut look).contains("it would leave none"));
}

#[test]
fn rows_are_filtered_ordered_and_turned_like_in_htop() {
    let mut look = look();
    press(&mut look, KeyCode::F(4));
    for it in "seaq".chars() {
        press(&mut look, KeyCode::Char(it));
    }
    assert!(screen(&mut look).contains("no row has this text"));
    press(&mut look, KeyCode::Backspace);
    press(&mut look, KeyCode::Enter);
    let drawn = screen(&mut look);
    assert!(
        drawn.contains("filter: sea") && drawn.contains("search"),
        "{drawn}"
    );
    assert!(!drawn.contains("checkout   "), "{drawn}");
    press(&mut look, KeyCode::Esc);
    press(&mut look, KeyCode::Char('<'));
    assert!(screen(&mut look).contains("REQ/S▼"));
    press(&mut look, KeyCode::Char('I'));
    let drawn = screen(&mut look);
    assert!(drawn.contains("REQ/S▲"), "{drawn}");
    for wanted in [
        Pane::Upstreams,
        Pane::Endpoints,
        Pane::InFlight,
        Pane::Connections,
        Pane::Routes,
    ] {
        press(&mut look, KeyCode::Tab);
        assert_eq!(look.pane, wanted);
        assert!(!screen(&mut look).is_empty());
    }
    press(&mut look, KeyCode::Char('?'));
    assert!(screen(&mut look).contains("this table: routes, upstreams"));
    assert_eq!(press(&mut look, KeyCode::Char('q')), Some(Wish::Quit));
}

#[test]
fn a_proxy_that_does_not_answer_is_said_to_and_comes_back() {
    let mut look = look();
    look.take(News::Away("cannot reach it".to_owned()));
    assert!(screen(&mut look).contains("cannot reach it; asking again"));
    look.take(News::Round(round()));
    assert!(!screen(&mut look).contains("asking again"));
    let mut fresh = Look::new(String::new(), true);
    assert!(screen(&mut fresh).contains("asking"));
}

#[test]
fn one_look_as_text_has_all_tables() {
    let text = text(&look());
    for part in [
        "all on 10.0.0.7:9002",
        "\nRoutes\n",
        "\nUpstreams\n",
        "\nEndpoints\n",
        "10.0.0.7:9002  checkout  ready",
        "\nIn flight\n  nothing here\n",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}
