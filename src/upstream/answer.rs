//! What comes back of a request, and what went wrong with it, in our words.

use std::rc::Rc;

use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use rustls::AlertDescription;

use super::connect::failed;
use super::tls_fault::{alert_fault, is_refusal};
use crate::exchange::{
    AttemptFault, Exchange, Fault, Lease, Outcome, Phase, Request, RequestBody, Response,
    ResponseBody, RetryClass,
};

/// A request without a body is out as soon as it is handed over; one with a body says itself how it goes.
pub(super) fn send_phase(exchange: &Exchange, body: &RequestBody) {
    exchange.enter(if body.is_empty() {
        Phase::Wait
    } else {
        Phase::SendUpstream
    });
}

pub(super) fn from_upstream(
    response: http::Response<Incoming>,
    lease: Rc<dyn Lease>,
) -> Result<Response, AttemptFault> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        lease.end(false);
        return Err(Fault::new(
            Outcome::HttpProtocolError,
            "the upstream switched protocols, which nobody asked for",
        )
        .into());
    }
    let mut response = response.map(|body| ResponseBody::from_upstream(body, lease));
    // The upstream's version is its own affair: the client is answered in the version that it speaks.
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

/// Who said for which host a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostBy {
    /// The client, or the route.
    Client,
    /// Nobody: the endpoint's address was put in, which is not another's.
    Us,
}

/// The fault of an attempt, with the request where it may go out once more whatever it is.
pub(super) fn give_back(
    fault: Fault,
    unsent: Option<Request>,
    exchange: &Exchange,
) -> AttemptFault {
    if let Some(failed) = exchange.body_error() {
        return Fault::new(failed.outcome, failed.detail)
            .with_status(failed.status)
            .into();
    }
    AttemptFault {
        fault,
        unsent: unsent.map(Box::new),
    }
}

/// The request as it was before it was made ready for the wire, where hyper has not touched it.
pub(super) fn unsent(
    mut error: TrySendError<http::Request<RequestBody>>,
    exchange: &Exchange,
    host_by: HostBy,
) -> Option<Request> {
    let (head, body) = restored(error.take_message()?, host_by).into_parts();
    Some(Request {
        head,
        body,
        exchange: exchange.clone(),
    })
}

/// A request of the wire as it was before: in origin form, with the client's own `Host` where it had one.
fn restored<B>(request: http::Request<B>, host_by: HostBy) -> http::Request<B> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().map(|host| host.as_str().to_owned());
    if host_by == HostBy::Us {
        head.headers.remove(header::HOST);
    } else if let Some(Ok(host)) = authority.map(HeaderValue::try_from) {
        head.headers.insert(header::HOST, host);
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = head.uri.path_and_query().cloned();
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    head.version = Version::HTTP_11;
    http::Request::from_parts(head, body)
}

/// Whether the peer says that it has not looked at the request: it refused the stream, or it goes away and the stream
/// came after the last that it takes (RFC 9113 §6.8, §8.7). h2 tells no stream of a GOAWAY that does not concern it.
pub(super) fn is_untouched(error: &hyper::Error) -> bool {
    let is_refused = h2_error(error).is_some_and(|error| {
        error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    });
    is_refused || is_going_away(error)
}

/// Whether hyper let go of the request while it waited for its stream to be opened, and the connection ended. Next to
/// certainly it was not sent, so that it may go out again where twice would do no harm either (RFC 9110 §9.2.2).
pub(super) fn is_let_go(error: &hyper::Error, method: &Method) -> bool {
    error.is_user() && method.is_idempotent()
}

/// Whether the peer takes no further streams on the connection.
pub(super) fn is_going_away(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| error.is_remote() && error.is_go_away())
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    use std::error::Error as _;
    error.source()?.downcast_ref()
}

/// What went wrong between the request and the response head, in our words.
pub(super) fn fault_of(error: &hyper::Error, alert: Option<AlertDescription>) -> Fault {
    if let Some(alert) = alert.filter(|alert| is_refusal(*alert)) {
        return alert_fault(alert);
    }
    if error.is_parse_too_large() {
        return Fault::new(
            Outcome::HttpResponseHeaderSectionSize,
            "the upstream's response head is too large",
        );
    }
    if error.is_parse() {
        return Fault::new(
            Outcome::HttpProtocolError,
            "the upstream's response head is not HTTP",
        );
    }
    if is_going_away(error) {
        return failed(
            Outcome::ConnectionTerminated,
            "the upstream went away before it looked at the request",
        );
    }
    match h2_error(error).and_then(h2::Error::reason) {
        Some(h2::Reason::REFUSED_STREAM) => failed(
            Outcome::ConnectionTerminated,
            "the upstream refused the stream before it did anything",
        ),
        Some(
            h2::Reason::PROTOCOL_ERROR
            | h2::Reason::FRAME_SIZE_ERROR
            | h2::Reason::COMPRESSION_ERROR,
        ) => Fault::new(Outcome::HttpProtocolError, "the upstream broke HTTP/2"),
        _ => Fault::new(
            Outcome::ConnectionTerminated,
            "the upstream closed the connection before its response head",
        )
        .retried_as(RetryClass::Reset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_has_the_clients_host_and_never_an_endpoints() {
        let sent = |uri: &str, host: Option<&str>| {
            let request = http::Request::builder().uri(uri);
            let request = match host {
                Some(host) => request.header(header::HOST, host),
                None => request,
            };
            request.body(()).expect("a valid request")
        };
        let host = |request: &http::Request<()>| {
            let host = request.headers().get(header::HOST);
            host.and_then(|host| host.to_str().ok()).map(str::to_owned)
        };
        for (uri, written, by, left) in [
            ("/a?b", Some("shop.test"), HostBy::Client, Some("shop.test")),
            ("/a?b", Some("127.0.0.1:9001"), HostBy::Us, None),
            (
                "https://shop.test/a?b",
                None,
                HostBy::Client,
                Some("shop.test"),
            ),
            ("https://127.0.0.1:9001/a?b", None, HostBy::Us, None),
        ] {
            let request = restored(sent(uri, written), by);
            assert_eq!(request.uri(), "/a?b");
            assert_eq!(host(&request).as_deref(), left);
        }
    }
}
