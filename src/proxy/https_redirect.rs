//! The layer that sends the clients of a clear-text listener to `https`.
//!
//! It stands below `Sanitize`, which has found one host and one path, and above `Route`: a listener that redirects routes
//! nothing. The redirect is the proxy's own answer and no fault: it is what the listener was asked for, so the exchange is
//! `served`, with status 308 and no attempt. 308 and not 301: the method and the body stay what they were (RFC 9110
//! §15.4.9). Where no listener redirects, the layer is a look at an empty option.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::{HeaderValue, StatusCode, header};
use tower::Service;
use tracing::trace;

use super::refused::OrRefused;
use super::sanitize::host;
use crate::config::Listener;
use crate::exchange::{Fault, Outcome, Phase, Request, Response, ResponseBody, Serve};

/// Sends the clients of some listeners to `https`.
#[derive(Clone, Debug)]
pub struct HttpsRedirect<S> {
    inner: S,
    /// The port, by listener; `None` where no listener redirects.
    ports: Option<Rc<[Option<u16>]>>,
}

// === impl HttpsRedirect ===

impl<S> HttpsRedirect<S> {
    /// Redirects as these listeners say, in the plan's order.
    #[must_use]
    pub fn new(inner: S, listeners: &[Listener]) -> Self {
        let ports: Rc<[_]> = listeners.iter().map(|it| it.redirect_to_https).collect();
        let is_any = ports.iter().any(Option::is_some);
        Self {
            inner,
            ports: is_any.then_some(ports),
        }
    }

    fn port(&self, request: &Request) -> Option<u16> {
        let listener = usize::from(request.exchange.connection().listener);
        *self.ports.as_ref()?.get(listener)?
    }
}

impl<S: Serve> Service<Request> for HttpsRedirect<S> {
    type Response = Response;
    type Error = Fault;
    type Future = OrRefused<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(port) = self.port(&request) else {
            return OrRefused::passed(self.inner.call(request));
        };
        trace!(port, "the listener sends its clients to https");
        match redirect(&request, port) {
            Ok(response) => {
                request.exchange.enter(Phase::BodyClient);
                OrRefused::answered(response)
            }
            Err(fault) => OrRefused::refused(fault),
        }
    }
}

fn redirect(request: &Request, port: u16) -> Result<Response, Fault> {
    let named = request.head.headers.get(header::HOST);
    let named = named.and_then(|host| host.to_str().ok()).map(host::name);
    let name = named.filter(|name| !name.is_empty()).ok_or(Fault::new(
        Outcome::HttpRequestError,
        "a request without a host cannot be redirected",
    ))?;
    let target = request.head.uri.path_and_query();
    let target = target.map(|target| target.as_str());
    let target = target.filter(|it| it.starts_with('/')).unwrap_or("/"); // `OPTIONS *` has no path
    let location = match port {
        443 => format!("https://{name}{target}"),
        port => format!("https://{name}:{port}{target}"),
    };
    let location = HeaderValue::try_from(location).map_err(|_| {
        Fault::new(
            Outcome::HttpRequestError,
            "the host or the path does not fit into a redirect",
        )
    })?;
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
