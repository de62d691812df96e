//! The layer that edits what a route's configuration says: path, host, and header fields both ways.
//!
//! It stands above `Retry`, since every attempt gets the same, and below the limits, which count what the client asked
//! for. Below `Forwarded` too, so that the file has the last word on every field: a route may overwrite or take out what
//! the proxy itself would tell the upstream. The path that comes out is canonical again.
//!
//! A route that edits nothing pays one look at a flag.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use tower::Service;
use tracing::trace;

use super::canonical::{canonical, canonical_path};
use super::refused::OrRefused;
use crate::config::{self, HeaderEdits, PathPattern};
use crate::exchange::{Fault, Outcome, Request, Response, Serve};

/// Edits requests and responses as a route says.
#[derive(Clone, Debug)]
pub struct Rewrite<S> {
    inner: S,
    /// `None` where nothing is edited.
    edits: Option<Rc<Edits>>,
}

/// The edits of a route.
#[derive(Debug)]
pub struct Edits {
    path: Option<PathEdit>,
    host: Option<HeaderValue>,
    request: HeaderEdits,
    response: HeaderEdits,
}

/// What stands at the beginning of the path, and what takes its place.
#[derive(Debug)]
struct PathEdit {
    taken: Taken,
    /// Without a slash at its end.
    to: String,
}

/// The beginning of a path that is taken off. Never ends in a slash.
#[derive(Debug)]
enum Taken {
    /// The whole path.
    All,
    /// This much, where the path is that or below it.
    Prefix(String),
}

// === impl Edits ===

impl Edits {
    /// Those of a route; `None` where it has none.
    ///
    /// `rewrite.strip_prefix` takes its prefix off; `rewrite.prefix` puts its own in the place of the matched one: of the
    /// whole path where the route's is exact, and before the path where it is a regular expression.
    #[must_use]
    pub fn new(route: &config::Route) -> Option<Self> {
        let config::Rewrite {
            strip_prefix,
            prefix,
            host,
        } = &route.rewrite;
        let trim = |path: &str| canonical_path(path).trim_end_matches('/').to_owned();
        let path = (strip_prefix.is_some() || prefix.is_some()).then(|| PathEdit {
            taken: match (strip_prefix, &route.matches.path) {
                (Some(prefix), _) | (None, PathPattern::Prefix(prefix)) => {
                    Taken::Prefix(trim(prefix))
                }
                (None, PathPattern::Exact(_)) => Taken::All,
                (None, PathPattern::Regex(_)) => Taken::Prefix(String::new()),
            },
            to: prefix.as_deref().map(trim).unwrap_or_default(),
        });
        let edits = Self {
            path,
            host: host.clone(),
            request: route.request_headers.clone(),
            response: route.response_headers.clone(),
        };
        let is_empty = edits.path.is_none()
            && edits.host.is_none()
            && edits.request.is_empty()
            && edits.response.is_empty();
        (!is_empty).then_some(edits)
    }

    fn apply(&self, head: &mut Parts) -> Result<(), Fault> {
        if let Some(edit) = &self.path
            && let Some(target) = edit.apply(&head.uri)?
        {
            let mut parts = http::uri::Parts::default();
            parts.path_and_query = Some(target);
            head.uri = Uri::from_parts(parts).unwrap_or_default();
        }
        if let Some(host) = &self.host {
            head.headers.insert(header::HOST, host.clone());
        }
        edit(&mut head.headers, &self.request);
        Ok(())
    }
}

impl PathEdit {
    /// The target after the edit; `None` where it does not apply.
    fn apply(&self, uri: &Uri) -> Result<Option<PathAndQuery>, Fault> {
        let path = uri.path();
        let rest = match &self.taken {
            Taken::All => "",
            Taken::Prefix(prefix) => match path.strip_prefix(prefix.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
                _ => return Ok(None), // not below it, or the `*` of OPTIONS
            },
        };
        if path == "*" {
            return Ok(None);
        }
        let query = uri.query();
        let capacity = self.to.len() + rest.len() + query.map_or(0, str::len) + 2;
        let mut target = String::with_capacity(capacity);
        target.push_str(&self.to);
        target.push_str(rest);
        if target.is_empty() {
            target.push('/');
        }
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        let too_long = Fault::new(
            Outcome::HttpRequestError,
            "the rewritten request target is too long",
        )
        .with_status(414);
        let target = PathAndQuery::try_from(target).map_err(|_| too_long)?;
        let changed = canonical(&target)?;
        Ok(Some(changed.unwrap_or(target)))
    }
}

/// Removes, then sets.
fn edit(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
}

// === impl Rewrite ===

impl<S> Rewrite<S> {
    /// Edits as this route says.
    #[must_use]
    pub fn new(inner: S, route: &config::Route) -> Self {
        Self {
            inner,
            edits: Edits::new(route).map(Rc::new),
        }
    }
}

impl<S: Serve> Service<Request> for Rewrite<S> {
    type Response = Response;
    type Error = Fault;
    type Future = RewriteFuture<S::Future>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut back = None;
        if let Some(edits) = &self.edits {
            if let Err(fault) = edits.apply(&mut request.head) {
                return RewriteFuture {
                    inner: OrRefused::refused(fault),
                    back,
                };
            }
            trace!(path = request.head.uri.path(), host = ?request.head.headers.get(header::HOST), "as the route rewrites it");
            back = (!edits.response.is_empty()).then(|| Rc::clone(edits));
        }
        RewriteFuture {
            inner: OrRefused::passed(self.inner.call(request)),
            back,
        }
    }
}

pin_project_lite::pin_project! {
    /// The response, with the route's edits.
    #[derive(Debug)]
    pub struct RewriteFuture<F> {
        #[pin]
        inner: OrRefused<F>,
        back: Option<Rc<Edits>>,
    }
}

impl<F: Future<Output = Result<Response, Fault>>> Future for RewriteFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.inner.poll(cx).map_ok(|mut response| {
            if let Some(edits) = this.back {
                edit(response.headers_mut(), &edits.response);
            }
            response
        })
    }
}

#[cfg(test)]
mod tests;
