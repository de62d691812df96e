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

/// An answer.
pub(super) type Reply = Response<Whole>;

/// A body that is there at once.
#[derive(Debug, Default)]
pub(super) struct Whole(Bytes);

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
    with(StatusCode::OK, content_type, body.into())
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: String) -> Reply {
    with(status, "text/plain; charset=utf-8", body.into())
}

/// JSON that is written already.
pub(super) fn json(body: Vec<u8>) -> Reply {
    of("application/json", body)
}

/// JSON of a value.
pub(super) fn value(value: &Value) -> Reply {
    json(value.to_string().into_bytes())
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
        members.to_string().into(),
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

fn with(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Whole(body));
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

// === impl Whole ===

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.get_mut().0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
