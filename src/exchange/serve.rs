//! The one shape of a layer: a tower service from [`Request`] to [`Response`] that fails with a [`Fault`].

use http::request::Parts;
use tower::Service;

use super::{Exchange, Fault, RequestBody, ResponseBody};

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
