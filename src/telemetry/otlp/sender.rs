//! Sends one request to a collector, and again where OTLP says that it may be (OTLP specification 1.x: *Failures*,
//! *Retryable Response Codes*, *OTLP/HTTP Throttling*): with back-off, within a deadline.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use opentelemetry_http::HttpClient as _;
use prost::Message as _;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::answer::{Answer, retry_after};
use super::codec::Encoded;
use super::http_client::Client;
use super::pauses::Pauses;
use super::{Collector, Rejected, headers};
use crate::config::OtlpProtocol;

/// One of OTLP's services.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Service {
    /// The path of its `Export`.
    pub(in crate::telemetry) path: &'static str,
    /// The signal, as the `OTEL_EXPORTER_OTLP_…` variables spell it.
    pub(in crate::telemetry) signal: &'static str,
}

/// The way to one service of a collector. One request at a time.
#[derive(Debug)]
pub(in crate::telemetry) struct Sender {
    way: Way,
    timeout: Duration,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The collector's URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot export to {endpoint}: {why}")]
pub(in crate::telemetry) struct StartError {
    endpoint: String,
    why: String,
}

/// A request that the collector did not take, in words.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(in crate::telemetry) struct SendError {
    why: String,
    again: Again,
}

#[derive(Debug)]
enum Way {
    Grpc {
        channel: Channel,
        path: PathAndQuery,
    },
    Http {
        client: Client,
        url: String,
    },
}

/// Whether a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Never,
    /// After a pause of ours.
    Soon,
    /// When the collector said.
    After(Duration),
}

// === impl Sender ===

impl Sender {
    /// The way to a service. Over HTTP the collector's endpoint has the path already. Call it inside the runtime that
    /// sends.
    ///
    /// # Errors
    /// Where the endpoint is no URL.
    pub(in crate::telemetry) fn new(
        collector: &Collector,
        service: Service,
    ) -> Result<Self, StartError> {
        let timeout = collector.timeout;
        let way = match collector.protocol {
            OtlpProtocol::Grpc => {
                let endpoint = Endpoint::from_shared(collector.endpoint.clone());
                let endpoint = endpoint.map_err(|error| StartError {
                    endpoint: collector.endpoint.clone(),
                    why: error.to_string(),
                })?;
                Way::Grpc {
                    channel: endpoint.timeout(timeout).connect_lazy(),
                    path: PathAndQuery::from_static(service.path),
                }
            }
            OtlpProtocol::Http => Way::Http {
                client: Client::new(timeout),
                url: collector.endpoint.clone(),
            },
        };
        Ok(Self {
            way,
            timeout,
            headers: headers::of(service.signal),
        })
    }

    /// Sends a request; what the collector refused of it. What was not acknowledged may have been taken all the same: it
    /// comes twice then, or is counted as lost although it is there.
    ///
    /// # Errors
    /// Why the collector did not take it, after all tries.
    pub(in crate::telemetry) async fn send(&self, request: Bytes) -> Result<Rejected, SendError> {
        let deadline = Instant::now() + self.timeout;
        let mut pauses = Pauses::default();
        loop {
            let error = match self.try_send(request.clone()).await {
                Ok(refused) => return Ok(refused),
                Err(error) => error,
            };
            let pause = pauses.take();
            let wait = match error.again {
                Again::Never => return Err(error),
                Again::Soon => pause,
                Again::After(wait) => wait,
            };
            // No try begins after the timeout, and none takes longer than that.
            if Instant::now() + wait > deadline {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_send(&self, body: Bytes) -> Result<Rejected, SendError> {
        match &self.way {
            Way::Grpc { channel, path } => {
                let mut client = Grpc::new(channel.clone());
                let ready = client.ready().await;
                ready.map_err(|error| SendError::new(chain(&error), Again::Soon))?;
                let mut request = tonic::Request::new(body);
                let headers = self.headers.iter().cloned().collect();
                *request.metadata_mut() = MetadataMap::from_headers(headers);
                let answer = client.unary(request, path.clone(), Encoded).await;
                Ok(answer.map_err(|status| of_status(&status))?.into_inner())
            }
            Way::Http { client, url } => {
                let mut request = Request::post(url.as_str())
                    .header(http::header::CONTENT_TYPE, "application/x-protobuf");
                for (name, value) in &self.headers {
                    request = request.header(name, value);
                }
                let request = request.body(body);
                let request =
                    request.map_err(|error| SendError::new(error.to_string(), Again::Never))?;
                let sent = client.send_bytes(request).await;
                let answer =
                    sent.map_err(|error| SendError::new(error.to_string(), Again::Soon))?;
                of_answer(&answer)
            }
        }
    }
}

// === impl SendError ===

impl SendError {
    fn new(why: impl Into<String>, again: Again) -> Self {
        Self {
            why: why.into(),
            again,
        }
    }
}

/// What an answer over HTTP says.
fn of_answer(answer: &http::Response<Bytes>) -> Result<Rejected, SendError> {
    let status = answer.status();
    if status.is_success() {
        // The request was taken, whatever the answer looks like.
        let answer = Answer::decode(answer.body().clone()).unwrap_or_default();
        return Ok(answer.into());
    }
    let again = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = answer.headers().get(http::header::RETRY_AFTER);
            let seconds = after.and_then(|after| after.to_str().ok()?.trim().parse().ok());
            seconds.map_or(Again::Soon, |it| Again::After(Duration::from_secs(it)))
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Again::Soon,
        _ => Again::Never,
    };
    Err(SendError::new(
        format!("the collector answered {status}"),
        again,
    ))
}

/// What a status of gRPC says. One with a cause is no answer: tonic makes it where the connection broke or never was.
fn of_status(status: &Status) -> SendError {
    if let Some(cause) = std::error::Error::source(status) {
        let why = format!("the collector cannot be reached: {}", chain(cause));
        return SendError::new(why, Again::Soon);
    }
    let again = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => retry_after(status.details()).map_or(Again::Soon, Again::After),
        // Only a collector that says when it will have room again will have it.
        Code::ResourceExhausted => retry_after(status.details()).map_or(Again::Never, Again::After),
        _ => Again::Never,
    };
    let why = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let code = status.code();
    SendError::new(format!("the collector answered {code:?}: {why}"), again)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_again_is_what_the_specification_lists() {
        let again = |code| of_status(&Status::new(code, "no")).again;
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(
            of_status(&Status::from_error(broken.into())).again,
            Again::Soon
        );
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert_eq!(again(code), Again::Soon, "{code:?}");
        }
        for code in [
            Code::ResourceExhausted,
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
            Code::Internal,
        ] {
            assert_eq!(again(code), Again::Never, "{code:?}");
        }
        let answered = |status: u16, after: Option<&str>| {
            let mut answer = http::Response::builder().status(status);
            if let Some(after) = after {
                answer = answer.header("retry-after", after);
            }
            let answer = answer.body(Bytes::new()).expect("an answer");
            of_answer(&answer).map_err(|error| error.again)
        };
        assert_eq!(answered(200, None), Ok(Rejected::default()));
        assert_eq!(answered(400, None), Err(Again::Never));
        assert_eq!(answered(500, None), Err(Again::Never));
        assert_eq!(answered(502, None), Err(Again::Soon));
        assert_eq!(answered(503, None), Err(Again::Soon));
        let four = Again::After(Duration::from_secs(4));
        assert_eq!(answered(429, Some(" 4 ")), Err(four));
        assert_eq!(answered(429, Some("soon")), Err(Again::Soon));
    }
}
