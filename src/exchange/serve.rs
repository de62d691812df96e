//! The one shape of a layer: a tower service from [`Request`] to [`Response`] that fails with a [`Fault`].

use std::rc::Rc;

use http::request::Parts;
use tower::Service;

use super::{Connection, Entered, Exchange, Fault, RequestBody, ResponseBody};

/// A request on its way through the stack. A struct of ours, with the exchange beside the head: `http::Extensions` would
/// want `Send` and hash at each look.
#[derive(Debug)]
pub struct Request {
    /// Method, target and header fields.
    pub head: Parts,
    /// The body.
    pub body: RequestBody,
    /// The exchange it belongs to.
    pub exchange: Exchange,
}

/// A response on its way back.
pub type Response = http::Response<ResponseBody>;

/// A layer or a stack of them: the only bound that is written. Such a service is always ready and refuses in `call`.
pub trait Serve: Service<Request, Response = Response, Error = Fault> {}

impl<S: Service<Request, Response = Response, Error = Fault>> Serve for S {}

/// A request that is tried at one endpoint.
#[derive(Debug)]
pub struct AttemptRequest {
    /// The request.
    pub request: Request,
    /// The upstream, by its place in the plan.
    pub upstream: u16,
    /// The endpoint, by its place in the upstream.
    pub endpoint: u16,
    /// Its place among what is under way at the endpoint.
    pub load: Entered,
}

/// An attempt that failed.
#[derive(Debug)]
pub struct AttemptFault {
    /// Why.
    pub fault: Fault,
    /// The request, untouched, where a dead pooled connection gave it back before a byte was sent.
    pub unsent: Option<Box<Request>>,
}

/// A layer around one attempt, or a stack of them.
pub trait ServeAttempt: Service<AttemptRequest, Response = Response, Error = AttemptFault> {}

impl<S: Service<AttemptRequest, Response = Response, Error = AttemptFault>> ServeAttempt for S {}

impl From<Fault> for AttemptFault {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            unsent: None,
        }
    }
}

/// A request that has just come in over a client's connection.
#[derive(Debug)]
pub struct Arrival {
    /// As hyper gives it.
    pub request: http::Request<hyper::body::Incoming>,
    /// The connection.
    pub connection: Rc<Connection>,
}
