//! The layer that answers for the proxy: the only place where a fault becomes a response.
//!
//! It stands right below `ObserveExchange`, so that the status which the client gets is the one that is observed, and
//! above everything that can refuse. It also catches a panic below it as a fault: a bug costs one exchange and never the
//! process. And it adds what every response carries: the request id, and where they are asked for, the rate limit's state
//! and `Server-Timing`.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tower::Service;
use tracing::trace;

use super::forwarded::X_REQUEST_ID;
use crate::config::Listener;
use crate::exchange::{
    Exchange, Fault, Outcome, Phase, Protocol, Request, Response, ResponseBody, Serve, grpc,
};
use crate::telemetry::{Event, emit};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What is carried: a 405 must say it (RFC 9110 §15.5.6). Other methods pass as well; these are the known ones.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Turns faults and panics into responses.
#[derive(Clone, Debug)]
pub struct Respond<S> {
    inner: S,
    rules: Rc<ResponseRules>,
}

/// What every response carries.
#[derive(Clone, Debug, Default)]
pub struct ResponseRules {
    /// By listener: whether responses carry `X-Request-Id`.
    pub request_id: Vec<bool>,
    /// Whether responses carry `Server-Timing`.
    pub server_timing: bool,
    /// By listener: `Strict-Transport-Security`, where responses carry it; empty where none do.
    pub hsts: Vec<Option<HeaderValue>>,
}

/// What each of these listeners says in `Strict-Transport-Security` (RFC 6797 §6.1); empty where none says anything.
#[must_use]
pub fn hsts(listeners: &[Listener]) -> Vec<Option<HeaderValue>> {
    let of = |listener: &Listener| {
        let age = listener.tls.as_ref()?.hsts?;
        HeaderValue::try_from(format!("max-age={}", age.as_secs())).ok()
    };
    let all: Vec<_> = listeners.iter().map(of).collect();
    if all.iter().any(Option::is_some) {
        all
    } else {
        Vec::new()
    }
}

/// How a client wants to be told of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    /// `application/problem+json`, RFC 9457.
    Problem,
    /// A small HTML page.
    Html,
    /// gRPC's trailers-only response.
    Grpc,
}

// === impl Respond ===

impl<S> Respond<S> {
    /// Answers for `inner` by these rules.
    #[must_use]
    pub fn new(inner: S, rules: Rc<ResponseRules>) -> Self {
        Self { inner, rules }
    }
}

impl<S: Serve> Service<Request> for Respond<S> {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = RespondFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let exchange = request.exchange.clone();
        let language = Language::of(&request.head.method, &request.head.headers);
        if language == Language::Grpc {
            exchange.note_grpc();
        }
        let is_head = request.head.method == Method::HEAD;
        let is_connect = request.head.method == Method::CONNECT;
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        RespondFuture {
            inner,
            exchange,
            language,
            is_head,
            is_connect,
            rules: Rc::clone(&self.rules),
        }
    }
}

pin_project_lite::pin_project! {
    /// The response, whatever happens.
    pub struct RespondFuture<F> {
        // `None` where `call` panicked.
        #[pin]
        inner: Option<F>,
        exchange: Exchange,
        language: Language,
        is_head: bool,
        is_connect: bool,
        rules: Rc<ResponseRules>,
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for RespondFuture<F> {
    type Output = Result<Response, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).ok(),
            None => None,
        };
        let result = match polled {
            Some(poll) => ready!(poll),
            None => {
                emit(Event::ExchangePanicked { route: None });
                Err(Fault::new(Outcome::ProxyInternalError, "a layer panicked"))
            }
        };
        let mut response = match result {
            Ok(response) => response,
            Err(fault) => {
                trace!(
                    outcome = fault.outcome().as_str(),
                    detail = fault.detail(),
                    "answered by the proxy itself"
                );
                this.exchange.enter(Phase::BodyClient);
                this.exchange.note_fault(&fault);
                let mut answer = answer(&fault, this.exchange, *this.language);
                if *this.is_connect {
                    hang_up(&mut answer, this.exchange);
                }
                if *this.is_head {
                    without_body(answer)
                } else {
                    answer
                }
            }
        };
        this.rules.dress(response.headers_mut(), this.exchange);
        trace!(
            status = response.status().as_u16(),
            "the head goes to the client"
        );
        Poll::Ready(Ok(response))
    }
}

// === impl ResponseRules ===

impl ResponseRules {
    fn dress(&self, headers: &mut HeaderMap, exchange: &Exchange) {
        let listener = usize::from(exchange.connection().listener);
        if self.request_id.get(listener).copied().unwrap_or(true)
            && let Some(id) = request_id(exchange)
        {
            headers.insert(&X_REQUEST_ID, id);
        }
        if let Some(limit) = exchange.limit() {
            let value = format!(
                "limit={}, remaining={}, reset={}",
                limit.limit,
                limit.remaining,
                whole_seconds(limit.reset)
            );
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(RATE_LIMIT, value);
            }
        }
        // A service may say more of itself (includeSubDomains), and has the last word.
        if let Some(Some(hsts)) = self.hsts.get(listener) {
            headers
                .entry(header::STRICT_TRANSPORT_SECURITY)
                .or_insert_with(|| hsts.clone());
        }
        if self.server_timing {
            let value = server_timing(exchange);
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(SERVER_TIMING, value);
            }
        }
    }
}

/// The phases up to the response head, in milliseconds, and the trace as pages in browsers look for it
/// (Server Timing §2; `traceparent` in `desc`, as OpenTelemetry's agents for browsers read it).
fn server_timing(exchange: &Exchange) -> String {
    let mut value = String::with_capacity(256);
    for (phase, time) in exchange.times().iter() {
        let millis = time.as_secs_f64() * 1e3;
        // Writing to a string cannot fail.
        let _ = write!(value, "{};dur={millis:.3}, ", phase.as_str());
    }
    let _ = exchange.with_trace(|place| {
        let (trace_id, span_id, flags) = (place.trace_id, place.span_id, place.flags);
        write!(
            value,
            "traceparent;desc=\"00-{trace_id}-{span_id}-{flags:02x}\""
        )
    });
    value
}

/// The client's own request id, else the trace id.
fn request_id(exchange: &Exchange) -> Option<HeaderValue> {
    let own = exchange
        .with_text(|text| {
            let id = text.words().request_id;
            (!id.is_empty())
                .then(|| HeaderValue::from_str(id).ok())
                .flatten()
        })
        .flatten();
    own.or_else(|| {
        exchange
            .with_trace(|trace| HeaderValue::from_bytes(&trace.trace_id.hex()).ok())
            .flatten()
    })
}

// === impl Language ===

impl Language {
    fn of(method: &Method, headers: &HeaderMap) -> Self {
        const HTML: &[u8] = b"text/html";
        if grpc::is_call(method, headers) {
            return Self::Grpc;
        }
        let wants_html = headers.get(header::ACCEPT).is_some_and(|value| {
            let mut windows = value.as_bytes().windows(HTML.len());
            windows.any(|window| window.eq_ignore_ascii_case(HTML))
        });
        if wants_html {
            Self::Html
        } else {
            Self::Problem
        }
    }
}

// === answers ===

fn answer(fault: &Fault, exchange: &Exchange, language: Language) -> Response {
    let outcome = fault.outcome();
    // 499 is what is logged; it never goes out, since nobody is there to read it.
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = match language {
        Language::Grpc => trailers_only(fault, exchange),
        Language::Html => html(outcome, status, exchange),
        Language::Problem => problem(outcome, status, exchange),
    };
    let headers = response.headers_mut();
    let (token, details) = outcome.proxy_status();
    let value = match details {
        Some(details) => format!("sightglass; error={token}; details=\"{details}\""),
        None => format!("sightglass; error={token}"),
    };
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(PROXY_STATUS, value);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    }
    if fault.status() == 401
        && let Some(challenge) = exchange.challenge()
    {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if outcome == Outcome::RateLimited
        && let Some(limit) = exchange.limit()
    {
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(whole_seconds(limit.reset)),
        );
    }
    response
}

/// What stands behind a CONNECT that came to nothing was meant for a tunnel: nothing of it is read as a request. HTTP/2 has a
/// stream for it, and no such field.
#[cold]
fn hang_up(answer: &mut Response, exchange: &Exchange) {
    if exchange.protocol() != Protocol::Http2 {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
        exchange.connection().note_unread();
    }
}

/// The answer to a HEAD: its length is told and nothing follows (RFC 9110 §9.3.2). hyper sees to it over HTTP/1 alone.
fn without_body(mut answer: Response) -> Response {
    if let ResponseBody::Full(body) = std::mem::take(answer.body_mut()) {
        let length = HeaderValue::from(body.len());
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    answer
}

/// Seconds as a header says them: rounded up, since one who comes a moment early is refused again.
fn whole_seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn problem(outcome: Outcome, status: StatusCode, exchange: &Exchange) -> Response {
    let trace_id = exchange.trace().trace_id;
    let body = format!(
        "{{\"type\":\"urn:sightglass:outcome:{outcome}\",\"title\":\"{}\",\"status\":{},\
         \"outcome\":\"{outcome}\",\"trace_id\":\"{trace_id}\"}}\n",
        outcome.title(),
        status.as_u16(),
    );
    reply(status, "application/problem+json", body)
}

fn html(outcome: Outcome, status: StatusCode, exchange: &Exchange) -> Response {
    let trace_id = exchange.trace().trace_id;
    let title = outcome.title();
    let code = status.as_u16();
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{code} {title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>body{{font:1rem/1.5 system-ui,\
         sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}}\
         code{{overflow-wrap:anywhere}}</style></head><body><h1>{code}</h1><p>{title}.</p>\
         <p><code>{outcome}</code><br>trace <code>{trace_id}</code></p></body></html>\n"
    );
    reply(status, "text/html; charset=utf-8", body)
}

fn reply(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(ResponseBody::Full(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// gRPC over HTTP/2, "Trailers-Only": a gRPC client reads nothing else.
fn trailers_only(fault: &Fault, exchange: &Exchange) -> Response {
    exchange.note_grpc_status(fault.grpc_status());
    let mut response = Response::new(ResponseBody::Empty);
    *response.headers_mut() = grpc::trailers(fault);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `grpc-message` is percent-encoded (gRPC over HTTP/2, "Status-Message"): what stands in it must need none of that.
    #[test]
    fn no_title_needs_an_encoding_in_grpc_message() {
        for outcome in Outcome::ALL {
            let title = outcome.title().as_bytes();
            assert!(
                title
                    .iter()
                    .all(|byte| matches!(byte, b' '..=b'~') && *byte != b'%'),
                "{outcome}"
            );
        }
    }
}
