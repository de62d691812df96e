//! Calls that change something: how they are read, and that each is an event with who asked.
//!
//! A call comes here when it may be made at all: the peer may, the name is ours, and no page of another origin asks
//! ([`Access`](super::Access)). Then its body is read, at most 16 KiB within ten seconds, and is JSON or nothing: a form
//! can send neither, so that no foreign page can make a browser do it. What was done is an event and an
//! answer with the same status. Calls that are refused for who asks are no events: strangers must not fill the log.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::reply::{self, Reply};
use crate::config::HeldState;
use crate::exchange::SpanRef;
use crate::telemetry::xray::Beam;

/// What calls can make the process do, beside what they do to telemetry.
pub trait Control: Send + Sync {
    /// Takes up the configuration file, certificates and the access log's file as they are now, as SIGHUP does: the new
    /// generation and its hash. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Why the old configuration stays.
    fn reload(&self) -> Result<(u32, String), String>;

    /// Drains and ends the process, as SIGTERM does.
    fn drain(&self);

    /// Takes an endpoint out for a while, or puts it back. Called where the control runtime is at hand.
    ///
    /// # Errors
    /// Why nothing was changed.
    fn hold(&self, asked: &HoldAsked<'_>, who: IpAddr) -> Result<(), HoldRefused>;

    /// Takes in a connection whose exchange is looked through. Whether a worker takes it.
    fn look_through(&self, looked: LookedThrough) -> bool;
}

/// What an endpoint is to be.
#[derive(Clone, Copy, Debug)]
pub struct HoldAsked<'a> {
    /// Its upstream.
    pub upstream: &'a str,
    /// Its address, as the configuration names it.
    pub endpoint: &'a str,
    /// How it is taken out and for how long; `None` to put it back.
    pub out: Option<(HeldState, Duration)>,
}

/// A connection of the process to itself, whose exchange is looked through.
#[derive(Debug)]
pub struct LookedThrough {
    /// The listener's end of it.
    pub stream: std::net::TcpStream,
    /// Who is taken to be the client.
    pub client: SocketAddr,
    /// The listener, by its place in the plan, and the address that it is bound to.
    pub listener: (u16, SocketAddr),
    /// The span whose child the exchange is.
    pub parent: SpanRef,
    /// What carries the span into the exchange's tasks.
    pub beam: Beam,
}

/// Why an endpoint is not taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefused {
    /// There is no such upstream.
    #[error("there is no upstream of this name")]
    NoUpstream,
    /// There is no such endpoint.
    #[error("the upstream has no endpoint of this address")]
    NoEndpoint,
    /// Nothing would be left.
    #[error(
        "it is the last endpoint of its upstream that takes attempts; put another one back first"
    )]
    TheLast,
}

/// A call, read.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) who: IpAddr,
    body: Bytes,
}

/// The largest body of a call, in bytes.
const MAX_BODY: usize = 16 << 10;
/// The longest that a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Call ===

impl Call {
    /// Reads it.
    ///
    /// # Errors
    /// The answer where it cannot be used.
    pub(super) async fn read<B>(who: IpAddr, head: &Parts, body: B) -> Result<Self, Box<Reply>>
    where
        B: Body<Data = Bytes>,
    {
        let problem = |status, detail: &str| {
            let problem = reply::problem(status, detail, Value::Null);
            Err(Box::new(problem))
        };
        let body = match tokio::time::timeout(PATIENCE, whole(body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(status)) => {
                return problem(status, "the body cannot be read, or is over 16 KiB");
            }
            Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the body took over 10 s"),
        };
        if !body.is_empty() && !is_json(&head.headers) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return problem(status, "the body has to be application/json");
        }
        Ok(Self {
            who: who.to_canonical(),
            body,
        })
    }

    /// What its body says.
    ///
    /// # Errors
    /// The answer where it says something else.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Box<Reply>> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let detail = format!("the body is not what this call takes: {error}");
            Box::new(reply::problem(StatusCode::BAD_REQUEST, detail, Value::Null))
        })
    }
}

/// `POST /api/v1/reload`.
pub(super) fn reload(control: &dyn Control) -> Reply {
    match control.reload() {
        Ok((generation, hash)) => reply::value(&json!({ "generation": generation, "hash": hash })),
        Err(why) => {
            let detail = format!("the old configuration stays: {why}");
            reply::problem(StatusCode::UNPROCESSABLE_ENTITY, detail, Value::Null)
        }
    }
}

/// `POST /api/v1/drain`.
pub(super) fn drain(control: &dyn Control) -> Reply {
    control.drain();
    let mut reply = reply::value(&json!({ "draining": true }));
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let media = only.as_bytes().split(|byte| *byte == b';').next();
    media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

async fn whole<B: Body<Data = Bytes>>(body: B) -> Result<Bytes, StatusCode> {
    let mut body = std::pin::pin!(body);
    let mut all = BytesMut::new();
    let mut next = async || std::future::poll_fn(|cx| Pin::as_mut(&mut body).poll_frame(cx)).await;
    while let Some(frame) = next().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > MAX_BODY {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}
