//! What every answer of the side port carries, and the shapes that an answer has.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::{Value, json};

use super::stream::{Feed, Pieces, Streams};

/// An answer.
pub(super) type Reply = Response<Content>;

/// A body.
#[derive(Debug)]
pub(super) enum Content {
    /// It is there at once.
    Whole(Bytes),
    /// It goes on while somebody looks.
    Stream(Pieces),
}

/// What a page may load: its own style and script, and answers of this port. Nothing inline and nothing of another host,
/// so that text of a request that ended up in the page could still do nothing.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What anything else may load.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// An answer of this type.
pub(super) fn of(content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    with(StatusCode::OK, content_type, Content::Whole(body.into()))
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: String) -> Reply {
    with(
        status,
        "text/plain; charset=utf-8",
        Content::Whole(body.into()),
    )
}

/// JSON that is written already.
pub(super) fn json(body: Vec<u8>) -> Reply {
    of("application/json", body)
}

/// JSON of a value.
pub(super) fn value(value: &Value) -> Reply {
    json(value.to_string().into_bytes())
}

/// Events that go on (`text/event-stream`), and where they are fed; 503 where too many look already.
pub(super) fn events(streams: &Streams) -> Result<(Feed, Reply), Box<Reply>> {
    let Some((feed, pieces)) = streams.open() else {
        let detail = "as many streams are open as there may be";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(Box::new(problem(status, detail, Value::Null)));
    };
    let content = Content::Stream(pieces);
    Ok((feed, with(StatusCode::OK, "text/event-stream", content)))
}

/// The body of an answer that is there at once.
pub(super) fn whole(reply: Reply) -> Bytes {
    match reply.into_body() {
        Content::Whole(bytes) => bytes,
        Content::Stream(_) => Bytes::new(),
    }
}

/// A problem document (RFC 9457), with members of its own.
pub(super) fn problem(status: StatusCode, detail: impl Into<String>, more: Value) -> Reply {
    let mut members = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail.into(),
    });
    if let (Value::Object(members), Value::Object(more)) = (&mut members, more) {
        members.extend(more);
    }
    with(
        status,
        "application/problem+json",
        Content::Whole(members.to_string().into()),
    )
}

/// The method is not one of this page's.
pub(super) fn wrong_method(allowed: &'static str) -> Reply {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut reply = problem(status, format!("this page takes {allowed}"), Value::Null);
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

fn with(status: StatusCode, content_type: &'static str, body: Content) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let is_page = content_type.starts_with("text/html");
    let policy = if is_page { PAGE_POLICY } else { DATA_POLICY };
    let headers = reply.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

// === impl Content ===

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Stream(pieces) => pieces.poll_piece(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
