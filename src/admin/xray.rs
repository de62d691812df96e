//! `POST /api/v1/xray`: one request, sent now through the stack that serves traffic, with every layer's steps told.
//!
//! It is a request like any other: the routes decide where it goes, the limits may refuse it, every signal counts it. It
//! comes in at a listener over a connection that the process opens to itself, with whoever asks as its client. Who may ask
//! that may also reload and drain; still it opens no door that is closed: a listener that asks for a client's certificate
//! is not gone around.
//!
//! This is the one page that speaks HTTP as a client: the answer's body is read, counted and thrown away.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::control::{Call, LookedThrough};
use super::page::Pages;
use super::reply::{self, Reply};
use crate::config::{DurationWritten, Question};
use crate::exchange::{KnownMethod, TraceId};
use crate::telemetry::xray::{Step, Xray};

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    url: String,
    #[serde(default)]
    method: Option<String>,
    /// `name: value` each.
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    listener: Option<String>,
    #[serde(default)]
    timeout: Option<String>,
}

/// What came back.
#[derive(Default)]
struct Seen {
    status: Option<StatusCode>,
    bytes: u64,
    ended: String,
}

/// How long an answer may take unless somebody says so, and at most.
const STANDARD: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(300);
/// How long the record of what has ended may take to reach the recorder.
const RECORDED: Duration = Duration::from_secs(2);

/// Sends it, and tells what was seen. Cancel safe: the exchange ends as that of a client that has gone away.
pub(super) async fn run(pages: &Pages, call: &Call) -> Reply {
    match look(pages, call).await {
        Ok(answer) => reply::value(&answer),
        Err(refused) => *refused,
    }
}

async fn look(pages: &Pages, call: &Call) -> Result<Value, Box<Reply>> {
    let asked: Asked = call.json()?;
    let refused = |status, detail: String| Box::new(reply::problem(status, detail, Value::Null));
    let bad = |detail: String| refused(StatusCode::BAD_REQUEST, detail);
    let busy = |detail: &str| refused(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned());
    let patience = read_timeout(asked.timeout.as_deref()).map_err(bad)?;
    let (question, request) = read(asked).map_err(bad)?;
    let door = door(pages, &question).map_err(bad)?;
    let why_not = pages.readiness.why_not_ready();
    if !why_not.is_empty() {
        return Err(busy(&format!("nothing is let in: {}", why_not.join(", "))));
    }
    let xray = Xray::begin(KnownMethod::of(&question.method))
        .ok_or_else(|| busy("as many requests are looked through as may be: two"))?;
    let failed = |error: io::Error| {
        let detail = format!("the process cannot open a connection to itself: {error}");
        refused(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    let (ours, theirs) = pair().await.map_err(failed)?;
    let port = ours.local_addr().map_err(failed)?.port();
    let is_taken = pages.sources.control.look_through(LookedThrough {
        stream: theirs.into_std().map_err(failed)?,
        client: SocketAddr::new(call.who, port),
        listener: (door.place, door.address),
        parent: xray.place(),
        beam: xray.beam(),
    });
    if !is_taken {
        return Err(busy("no worker takes it: they have too much to do"));
    }
    let seen = send(ours, request, patience).await;
    let trace_id = xray.place().trace_id;
    let exchange = recorded(pages, trace_id).await;
    let (steps, lost) = xray.steps().told();
    Ok(json!({
        "trace_id": trace_id.to_string(),
        "listener": door.name,
        "client": call.who.to_string(),
        "status": seen.status.map(|it| it.as_u16()),
        "bytes": seen.bytes,
        "ended": seen.ended,
        "steps": steps.iter().map(told).collect::<Value>(),
        "steps_lost": lost,
        "exchange": exchange,
    }))
}

fn read_timeout(asked: Option<&str>) -> Result<Duration, String> {
    match asked.map(str::parse) {
        None => Ok(STANDARD),
        Some(Ok(DurationWritten(it))) if !it.is_zero() && it <= LONGEST => Ok(it),
        Some(Ok(_)) => Err("timeout has to be more than 0s and at most 5m".to_owned()),
        Some(Err(error)) => Err(format!("timeout: {error}")),
    }
}

/// The request as it comes in at the listener.
fn read(asked: Asked) -> Result<(Question, Request<String>), String> {
    let method = asked.method.as_deref().unwrap_or("GET");
    let mut question = Question::read(method, &asked.url, &asked.headers, None)
        .map_err(|error| error.to_string())?;
    question.listener = asked.listener;
    let headers = &mut question.headers;
    if question.method == Method::CONNECT || headers.contains_key(header::UPGRADE) {
        return Err("a tunnel cannot be looked through".to_owned());
    }
    if headers.contains_key(header::CONNECTION) {
        return Err("connection: that field is the look's own, leave it out".to_owned());
    }
    if !headers.contains_key(header::HOST) {
        let host = question.url.authority().map(|it| it.as_str());
        let host = HeaderValue::try_from(host.unwrap_or_default());
        let host = host.map_err(|_| "the URL's host is none".to_owned())?;
        headers.insert(header::HOST, host);
    }
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "sightglass-xray/",
            env!("CARGO_PKG_VERSION")
        )));
    let path = question.url.path_and_query().map_or("/", |it| it.as_str());
    let mut request = Request::builder().method(&question.method).uri(path);
    if let Some(all) = request.headers_mut() {
        *all = headers.clone();
    }
    let request = request.body(asked.body).map_err(|it| it.to_string())?;
    Ok((question, request))
}

/// The listener that it comes in at.
struct Door {
    place: u16,
    address: SocketAddr,
    name: String,
}

fn door(pages: &Pages, question: &Question) -> Result<Door, String> {
    let (plan, _) = pages.sources.running.plan();
    let bound = &pages.sources.listeners;
    let port = |at: usize| bound.get(at).map_or(0, |(_, address)| address.port());
    let found = question.door(&plan.listeners, |at, _| port(at));
    let found = found.and_then(|at| {
        let (_, address) = bound.get(at)?;
        Some((u16::try_from(at).ok()?, *address, plan.listeners.get(at)?))
    });
    let (place, address, listener) = found.ok_or_else(|| {
        let all = plan.listeners.iter().enumerate().map(|(at, it)| {
            let scheme = if it.tls.is_some() { "https" } else { "http" };
            format!("{} ({scheme}, port {})", it.name, port(at))
        });
        let all = all.collect::<Vec<_>>().join(", ");
        format!("no listener takes that in; there are {all}")
    })?;
    let client_auth = listener.tls.as_ref().and_then(|it| it.client_auth.as_ref());
    let name = listener.name.to_string();
    if client_auth.is_some_and(|it| it.is_required) {
        return Err(format!(
            "listener {name} requires a client's certificate, and a look shows none: nothing may come in behind it without one"
        ));
    }
    Ok(Door {
        place,
        address,
        name,
    })
}

/// A connection of the process to itself.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(door.local_addr()?).await?;
    loop {
        let (theirs, peer) = door.accept().await?;
        // Somebody else may have found the port.
        if peer == ours.local_addr()? {
            return Ok((ours, theirs));
        }
    }
}

/// Sends it, and reads the answer to its end or until the time is up.
async fn send(stream: TcpStream, request: Request<String>, patience: Duration) -> Seen {
    let mut seen = Seen::default();
    let deadline = Instant::now() + patience;
    let talking = talk(stream, request, &mut seen);
    let ended = timeout_at(deadline, talking).await;
    seen.ended = match ended {
        Ok(Ok(())) => "whole".to_owned(),
        Ok(Err(error)) => format!("cut off: {error}"),
        Err(_) => format!("given up after {patience:?}"),
    };
    seen
}

async fn talk(
    stream: TcpStream,
    request: Request<String>,
    seen: &mut Seen,
) -> Result<(), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = pin!(connection);
    let asking = async {
        let answer = sender.send_request(request).await?;
        seen.status = Some(answer.status());
        let mut body = answer.into_body();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let data = frame?.into_data();
            seen.bytes += data.map_or(0, |data| data.len() as u64);
        }
        Ok(())
    };
    let mut asking = pin!(asking);
    let mut is_over = false;
    poll_fn(|cx| {
        if !is_over {
            is_over = connection.as_mut().poll(cx).is_ready(); // what went wrong the request tells as well
        }
        asking.as_mut().poll(cx)
    })
    .await
}

/// The exchange, as soon as the recorder has it.
async fn recorded(pages: &Pages, trace_id: TraceId) -> Value {
    let until = Instant::now() + RECORDED;
    let mut pause = Duration::from_millis(10);
    loop {
        let recorder = Arc::clone(&pages.sources.recorder);
        let looking = tokio::task::spawn_blocking(move || recorder.exchange(trace_id));
        if let Ok(Some(found)) = looking.await {
            return serde_json::from_slice(&found).unwrap_or_default();
        }
        if Instant::now() >= until {
            return Value::Null;
        }
        sleep(pause).await;
        pause *= 2; // where it never comes, since no parser took it, all that is kept is gone through each time
    }
}

fn told(step: &Step) -> Value {
    let micros = u32::try_from(step.at.as_micros()).unwrap_or(u32::MAX);
    let fields = step.fields.iter();
    let fields: Map<_, _> = fields
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect();
    json!({
        "at_ms": f64::from(micros) / 1e3,
        "level": step.level.as_str().to_ascii_lowercase(),
        "target": step.target,
        "message": step.message,
        "fields": fields,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: Value) -> Result<(Question, Request<String>), String> {
        read(serde_json::from_value(text).expect("what is asked"))
    }

    #[test]
    fn a_request_is_read_as_it_comes_in_at_the_listener() {
        let (question, request) = asked(json!({
            "url": "http://shop.test:8080/cart?id=7", "method": "POST",
            "headers": ["x-tier: gold"], "body": "{}",
        }))
        .expect("a request");
        assert_eq!(question.port(), 8080);
        assert_eq!(request.uri(), "/cart?id=7");
        assert_eq!(request.headers()["host"], "shop.test:8080");
        assert_eq!(request.headers()["x-tier"], "gold");
        assert_eq!(request.body(), "{}");
        let own = asked(
            json!({"url": "http://127.0.0.1/", "headers": ["host: shop.test", "user-agent: me"]}),
        );
        let (_, own) = own.expect("a request");
        assert_eq!(
            (&own.headers()["host"], &own.headers()["user-agent"]),
            (
                &HeaderValue::from_static("shop.test"),
                &HeaderValue::from_static("me")
            )
        );
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        for (text, why) in [
            (json!({"url": "shop.test/cart"}), "no URL"),
            (json!({"url": "http://a/", "method": "get"}), "write GET"),
            (
                json!({"url": "http://a/", "headers": ["upgrade: websocket"]}),
                "tunnel",
            ),
            (json!({"url": "http://a/", "method": "CONNECT"}), "tunnel"),
            (
                json!({"url": "http://a/", "headers": ["content-length: 5"]}),
                "how long",
            ),
            (
                json!({"url": "http://a/", "headers": ["connection: close"]}),
                "the look's own",
            ),
        ] {
            let told = asked(text.clone()).expect_err("no request");
            assert!(told.contains(why), "{text}: {told}");
        }
        assert!(read_timeout(Some("0s")).is_err() && read_timeout(Some("6m")).is_err());
        assert_eq!(read_timeout(Some("90s")), Ok(Duration::from_secs(90)));
    }
}
