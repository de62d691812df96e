//! Made-up traffic for a person to look at.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::super::sample::{Like, Sample};
use super::super::serve;
use super::Control;
use crate::config;
use crate::exchange::{Outcome, Record};

/// What comes in, of a hundred each.
const KINDS: [(u32, Like); 8] = [
    (
        40,
        like(
            0,
            "GET",
            "/api/checkout/cart",
            &[(0, 200, 8)],
            Outcome::Served,
            2,
        ),
    ),
    (
        21,
        like(1, "GET", "/search", &[(0, 200, 55)], Outcome::Served, 20),
    ),
    (
        30,
        like(
            2,
            "GET",
            "/assets/app-5f3c9a1be2.css",
            &[(1, 200, 2)],
            Outcome::Served,
            1,
        ),
    ),
    (
        3,
        like(
            0,
            "POST",
            "/api/checkout/orders",
            &[(0, 0, 0), (1, 201, 31)],
            Outcome::Served,
            4,
        ),
    ),
    (
        2,
        like(
            0,
            "POST",
            "/api/checkout/pay",
            &[(1, 503, 90), (0, 503, 140)],
            Outcome::Served,
            2,
        ),
    ),
    (
        1,
        like(
            1,
            "GET",
            "/search/<img src=x onerror=alert(1)>",
            &[(0, 200, 310)],
            Outcome::ClientClosed,
            60,
        ),
    ),
    (
        2,
        like(
            u16::MAX,
            "GET",
            "/.git/config",
            &[],
            Outcome::DestinationNotFound,
            0,
        ),
    ),
    (
        1,
        like(
            2,
            "DELETE",
            "/old",
            &[(2, 0, 0)],
            Outcome::ConnectionRefused,
            0,
        ),
    ),
];

const fn like(
    route: u16,
    method: &'static str,
    path: &'static str,
    attempts: &'static [(u16, u16, u64)],
    outcome: Outcome,
    body: u64,
) -> Like {
    Like {
        route,
        method,
        path,
        attempts,
        outcome,
        body,
    }
}

/// Serves on `SIGHTGLASS_SAMPLE_PORT` (9901) for `SIGHTGLASS_SAMPLE_SECONDS` (60); with `SIGHTGLASS_SAMPLE_EMPTY` a
/// process that has seen nothing.
#[test]
#[ignore = "serves pages to look at"]
fn serve_sample_pages() {
    let sample = Sample::new();
    let control = Control::start();
    let port = u16::try_from(number("SIGHTGLASS_SAMPLE_PORT", 9901)).expect("a port");
    let socket = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let rules = config::Admin::default();
    let admin = serve(&control.handle, socket, &rules, sample.sources.clone()).expect("it serves");
    let until = Instant::now() + Duration::from_secs(number("SIGHTGLASS_SAMPLE_SECONDS", 60));
    let is_empty = std::env::var_os("SIGHTGLASS_SAMPLE_EMPTY").is_some();
    let kinds = KINDS.map(|(weight, like)| (weight, sample.exchange(&like)));
    if !is_empty {
        for second in (0..300).rev() {
            (0..20 + 8 * (second % 60 / 20)).for_each(|_| tell_one(&sample, &kinds, second));
            sample.flush();
        }
    }
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
        if !is_empty {
            (0..6).for_each(|_| tell_one(&sample, &kinds, 0));
            sample.flush();
        }
    }
    control.end(admin);
}

fn tell_one(sample: &Sample, kinds: &[(u32, Record)], seconds_ago: u64) {
    let mut ticket = fastrand::u32(0..100);
    let drawn = kinds
        .iter()
        .find(|(weight, _)| match ticket.checked_sub(*weight) {
            Some(left) => {
                ticket = left;
                false
            }
            None => true,
        });
    let (_, record) = drawn.expect("the weights add up to a hundred");
    sample.tell(
        record,
        Duration::from_millis(seconds_ago * 1000 + fastrand::u64(0..1000)),
    );
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
