//! What comes back of a request, and what went wrong with it, in our words.

use std::rc::Rc;

use http::{StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

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

pub(super) fn give_back(
    mut error: TrySendError<http::Request<RequestBody>>,
    exchange: &Exchange,
    is_reused: bool,
) -> AttemptFault {
    let unsent = error.take_message();
    if let Some(failed) = exchange.body_error() {
        return Fault::new(failed.outcome, failed.detail)
            .with_status(failed.status)
            .into();
    }
    let fault = fault_of(error.error());
    match unsent {
        Some(request) if is_reused => {
            let (head, body) = request.into_parts();
            let request = Request {
                head,
                body,
                exchange: exchange.clone(),
            };
            AttemptFault {
                fault,
                unsent: Some(Box::new(request)),
            }
        }
        _ => fault.into(),
    }
}

/// What went wrong between the request and the response head, in our words.
pub(super) fn fault_of(error: &hyper::Error) -> Fault {
    use std::error::Error as _;
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
    let reason = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    match reason.and_then(h2::Error::reason) {
        Some(h2::Reason::REFUSED_STREAM) => Fault::new(
            Outcome::ConnectionTerminated,
            "the upstream refused the stream before it did anything",
        )
        .retried_as(RetryClass::ConnectFailure),
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
