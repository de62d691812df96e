//! Who visits the shop and what for: one request after the other, drawn from a seed.
//!
//! Pure: [`Visits::next`] makes requests and sends none. The mixture is that of a small shop, with what makes telemetry
//! worth looking at: several clients, hosts, methods and programs, traces that began elsewhere, paths that nobody
//! serves, and people who do not wait.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use hyper::http::request::Builder;
use hyper::{Method, Request};

use super::answers::THINGS;

/// Draws one visit after the other.
#[derive(Debug)]
pub(super) struct Visits {
    rng: Rng,
}

/// One request and how it is sent.
#[derive(Debug)]
pub(super) struct Visit {
    /// The request.
    pub(super) request: Request<String>,
    /// Whether it goes over HTTP/2.
    pub(super) is_http2: bool,
    /// When the client has had enough (most wait as long as it takes).
    pub(super) gives_up_after: Option<Duration>,
}

/// Programs that visit, and whether they speak HTTP/2.
const PROGRAMS: [(&str, bool); 6] = [
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        false,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
        false,
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
        false,
    ),
    ("shop-app/4.2 (iOS 18.5)", true),
    ("python-requests/2.32.4", false),
    ("curl/8.14.1", false),
];
/// Names under which the shop is known.
const HOSTS: [&str; 3] = ["shop.test", "www.shop.test", "api.shop.test"];
/// Where visitors come from (RFC 5737).
const CLIENTS: [&str; 9] = [
    "192.0.2.10",
    "192.0.2.23",
    "192.0.2.77",
    "198.51.100.4",
    "198.51.100.31",
    "198.51.100.200",
    "203.0.113.5",
    "203.0.113.18",
    "203.0.113.99",
];
/// The one that asks for more than its share.
const NEIGHBOUR: &str = "203.0.113.250";
/// What people look for.
const WORDS: [&str; 5] = ["lamp", "oak+shelf", "kettle", "red+rug", "clock"];
/// What nobody serves here.
const STRAY: [&str; 4] = ["/favicon.ico", "/wp-login.php", "/api/v0/status", "/.env"];

// === impl Visits ===

impl Visits {
    /// The same seed gives the same visits.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
        }
    }

    /// How long until the next one when there are so many a second: visitors do not know of each other, so their number
    /// in any stretch of time is Poisson's and the pauses are exponential.
    ///
    /// # Panics
    /// Where the rate is 0.
    pub(super) fn pause(&mut self, requests_per_second: u32) -> Duration {
        // 1 - f64() is above 0, so the logarithm is finite: at most some 37 times the mean.
        let mean = Duration::from_secs(1) / requests_per_second;
        mean.mul_f64(-(1.0 - self.rng.f64()).ln())
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Visit {
        let (method, path, body) = self.errand();
        let (program, is_http2) = self.one_of(&PROGRAMS);
        let client = self.one_of(&CLIENTS);
        let host = self.one_of(&HOSTS);
        let mut request = Request::builder()
            .method(method)
            .header("user-agent", program)
            .header("x-forwarded-for", client);
        if self.chance(10) {
            request = request.header("traceparent", self.traceparent());
        }
        let gives_up_after = self
            .chance(1)
            .then(|| Duration::from_millis(self.rng.u64(1..40)));
        Visit::of(request, host, &path, body, is_http2, gives_up_after)
    }

    /// The next request of the client that asks for too much.
    pub(super) fn next_of_neighbour(&mut self) -> Visit {
        let path = format!("/api/search?q={}&page=1", self.one_of(&WORDS));
        let request = Request::get("/")
            .header("user-agent", "price-watcher/0.3")
            .header("x-forwarded-for", NEIGHBOUR);
        Visit::of(request, HOSTS[2], &path, String::new(), false, None)
    }

    /// What somebody wants: method, path and body.
    fn errand(&mut self) -> (Method, String, String) {
        let number = self.rng.u32(1..=THINGS);
        let (method, path, body) = match self.rng.u8(0..100) {
            0..44 => {
                let word = self.one_of(&WORDS);
                let page = self.rng.u8(1..4);
                (Method::GET, format!("/api/search?q={word}&page={page}"), "")
            }
            44..62 => (Method::GET, format!("/api/checkout/cart/{number}"), ""),
            62..70 => {
                let body = r#"{"cart":7,"payment":"invoice"}"#;
                (Method::POST, "/api/checkout/orders".to_owned(), body)
            }
            70..74 => (Method::GET, format!("/api/checkout/orders/{number}"), ""),
            74..88 => (Method::GET, format!("/api/inventory/items/{number}"), ""),
            88..91 => (Method::HEAD, format!("/api/inventory/items/{number}"), ""),
            91..93 => {
                let path = format!("/api/inventory/items/{number}");
                (Method::PUT, path, r#"{"in_stock":12}"#)
            }
            93..96 => {
                let path = "/api/inventory/reservations".to_owned();
                (Method::POST, path, r#"{"sku":"lamp-0007","pieces":1}"#)
            }
            // Sold out for ever: the service's own 404.
            96..98 => (Method::GET, "/api/inventory/items/9999".to_owned(), ""),
            _ => (Method::GET, self.one_of(&STRAY).to_owned(), ""),
        };
        (method, path, body.to_owned())
    }

    /// A trace that began in the client (W3C Trace Context §3.2), sampled there or not.
    fn traceparent(&mut self) -> String {
        let (trace, span) = (self.rng.u128(1..), self.rng.u64(1..));
        let flags = u8::from(self.rng.bool());
        format!("00-{trace:032x}-{span:016x}-{flags:02x}")
    }

    pub(super) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())]
    }
}

// === impl Visit ===

impl Visit {
    #[expect(
        clippy::expect_used,
        reason = "a request that cannot be made is a slip of the pen here, and a test makes thousands"
    )]
    fn of(
        request: Builder,
        host: &str,
        path: &str,
        body: String,
        is_http2: bool,
        gives_up_after: Option<Duration>,
    ) -> Self {
        // HTTP/2 has the host in its target, HTTP/1.1 in a header of its own.
        let request = if is_http2 {
            request.uri(format!("http://{host}{path}"))
        } else {
            request.uri(path).header("host", host)
        };
        let request = if body.is_empty() {
            request
        } else {
            request.header("content-type", "application/json")
        };
        Self {
            request: request
                .body(body)
                .expect("all of its parts are written here"),
            is_http2,
            gives_up_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_mixture_has_all_that_is_worth_seeing() {
        let mut visits = Visits::new(1);
        let all: Vec<Visit> = (0..4_000).map(|_| visits.next()).collect();
        let count = |is: &dyn Fn(&Visit) -> bool| all.iter().filter(|visit| is(visit)).count();
        let path = |visit: &Visit, start| visit.request.uri().path().starts_with(start);

        assert!((1_600..1_920).contains(&count(&|it| path(it, "/api/search"))));
        assert!((1_050..1_350).contains(&count(&|it| path(it, "/api/checkout"))));
        assert!((800..1_120).contains(&count(&|it| path(it, "/api/inventory"))));
        assert!((40..140).contains(&count(&|it| !path(it, "/api/") || path(it, "/api/v0"))));
        assert!((300..500).contains(&count(&|it| {
            it.request.headers().contains_key("traceparent")
        })));
        assert!((15..80).contains(&count(&|it| it.gives_up_after.is_some())));
        assert!((500..850).contains(&count(&|it| it.is_http2)));
        assert!(count(&|it| !it.request.body().is_empty()) > 300);

        let distinct = |name: &str| -> usize {
            let values = all.iter().filter_map(|it| it.request.headers().get(name));
            values.collect::<HashSet<_>>().len()
        };
        assert_eq!(distinct("user-agent"), PROGRAMS.len());
        assert_eq!(distinct("x-forwarded-for"), CLIENTS.len());
        assert_eq!(distinct("host"), HOSTS.len());
        let methods: HashSet<_> = all.iter().map(|it| it.request.method()).collect();
        assert_eq!(methods.len(), 4);
    }

    #[test]
    fn the_same_seed_gives_the_same_visits() {
        let (mut one, mut two) = (Visits::new(5), Visits::new(5));
        for _ in 0..200 {
            assert_eq!(one.next().request.uri(), two.next().request.uri());
            assert_eq!(one.pause(40), two.pause(40));
        }
    }

    #[test]
    fn pauses_are_on_average_what_was_asked_for() {
        let mut visits = Visits::new(3);
        let whole: Duration = (0..40_000).map(|_| visits.pause(40)).sum();
        assert!((975..1_025).contains(&whole.as_secs()), "{whole:?}");
    }

    #[test]
    fn trace_contexts_are_valid() {
        let mut visits = Visits::new(9);
        for _ in 0..1_000 {
            let text = visits.traceparent();
            let lengths: Vec<usize> = text.split('-').map(str::len).collect();
            assert_eq!(lengths, [2, 32, 16, 2], "{text}");
        }
    }
}
