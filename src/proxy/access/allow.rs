//! The layer that refuses by where a client is.

use std::rc::Rc;
use std::task::{Context, Poll};

use ipnet::IpNet;
use tower::Service;
use tracing::trace;

use crate::config::Access;
use crate::exchange::{Fault, Outcome, Request, Response, Serve};
use crate::proxy::refused::OrRefused;

/// Refuses with 403 who comes from where nobody may. The client is who the trusted proxies say it is.
#[derive(Clone, Debug)]
pub struct Allow<S> {
    inner: S,
    /// Where there are any.
    networks: Option<Rc<Networks>>,
}

#[derive(Debug)]
struct Networks {
    allow: Box<[IpNet]>,
    deny: Box<[IpNet]>,
}

// === impl Allow ===

impl<S> Allow<S> {
    /// Refuses by these networks; without any it lets all through.
    #[must_use]
    pub fn new(inner: S, access: &Access) -> Self {
        let Access { allow, deny, .. } = access;
        let has_any = !allow.is_empty() || !deny.is_empty();
        Self {
            inner,
            networks: has_any.then(|| {
                Rc::new(Networks {
                    allow: allow.as_slice().into(),
                    deny: deny.as_slice().into(),
                })
            }),
        }
    }
}

impl<S: Serve> Service<Request> for Allow<S> {
    type Response = Response;
    type Error = Fault;
    type Future = OrRefused<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(networks) = &self.networks {
            let Networks { allow, deny } = &**networks;
            let client = request.exchange.client();
            let is_in = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&client));
            trace!(%client, allow = ?allow, deny = ?deny, "asked by address");
            if is_in(deny) || !(allow.is_empty() || is_in(allow)) {
                return OrRefused::refused(Fault::new(
                    Outcome::HttpRequestDenied,
                    "the client's address may not use the route",
                ));
            }
        }
        OrRefused::passed(self.inner.call(request))
    }
}
