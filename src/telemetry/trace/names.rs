//! What a plan's names look like in spans, made once a plan.

use std::sync::Arc;

use crate::config::{Host, PathPattern, Plan};

/// The names of one plan.
#[derive(Debug)]
pub(super) struct Names {
    plan: Arc<Plan>,
    /// The members of a baggage that become attributes.
    pub(super) baggage: Vec<Arc<str>>,
    listeners: Vec<(Arc<str>, u16)>,
    routes: Vec<RouteNames>,
    upstreams: Vec<UpstreamNames>,
}

#[derive(Debug)]
pub(super) struct RouteNames {
    pub(super) name: Arc<str>,
    /// The path pattern as written.
    pub(super) pattern: Arc<str>,
}

#[derive(Debug)]
pub(super) struct UpstreamNames {
    pub(super) name: Arc<str>,
    endpoints: Vec<EndpointNames>,
}

#[derive(Debug)]
pub(super) struct EndpointNames {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Both, as a URL has them.
    pub(super) authority: Arc<str>,
}

// === impl Names ===

impl Names {
    pub(super) fn new(plan: &Arc<Plan>) -> Self {
        let routes = plan.routes.iter().map(|route| RouteNames {
            name: route.name.shared(),
            pattern: Arc::from(route.matches.path.as_str()),
        });
        let upstreams = plan.upstreams.iter().map(|upstream| UpstreamNames {
            name: upstream.name.shared(),
            endpoints: upstream
                .endpoints
                .iter()
                .map(|endpoint| EndpointNames::new(endpoint, upstream.tls.is_some()))
                .collect(),
        });
        let listeners = plan.listeners.iter().map(|listener| {
            let address = listener.address;
            (Arc::from(address.ip().to_string()), address.port())
        });
        let baggage = plan.telemetry.traces.baggage_attributes.iter();
        Self {
            baggage: baggage.map(|key| Arc::from(&**key)).collect(),
            plan: Arc::clone(plan),
            listeners: listeners.collect(),
            routes: routes.collect(),
            upstreams: upstreams.collect(),
        }
    }

    /// Whether these are the names of this very plan.
    pub(super) fn are_of(&self, plan: &Arc<Plan>) -> bool {
        Arc::ptr_eq(&self.plan, plan)
    }

    pub(super) fn route(&self, route: Option<u16>) -> Option<&RouteNames> {
        self.routes.get(usize::from(route?))
    }

    pub(super) fn upstream(&self, upstream: u16) -> Option<&UpstreamNames> {
        self.upstreams.get(usize::from(upstream))
    }

    pub(super) fn endpoint(&self, upstream: u16, endpoint: u16) -> Option<&EndpointNames> {
        let upstream = self.upstream(upstream)?;
        upstream.endpoints.get(usize::from(endpoint))
    }

    /// The address that a listener was told to bind; port 0 where it is not known.
    pub(super) fn listener(&self, listener: u16) -> (&str, u16) {
        match self.listeners.get(usize::from(listener)) {
            Some((address, port)) => (address, *port),
            None => ("", 0),
        }
    }

    /// Adds the path that a request for `path` has upstream, as the route rewrites it.
    pub(super) fn push_upstream_path(&self, route: Option<u16>, path: &str, url: &mut String) {
        let route = route.and_then(|route| self.plan.routes.get(usize::from(route)));
        let Some(route) = route else {
            url.push_str(path);
            return;
        };
        let rewrite = &route.rewrite;
        let matched = match &route.matches.path {
            PathPattern::Prefix(prefix) | PathPattern::Exact(prefix) => prefix.as_str(),
            PathPattern::Regex(_) => "",
        };
        let (put, rest) = match (&rewrite.strip_prefix, &rewrite.prefix) {
            (Some(prefix), _) => ("", without(path, prefix)),
            (None, Some(put)) => (put.as_str(), without(path, matched)),
            (None, None) => ("", path),
        };
        let put = put.trim_end_matches('/');
        url.push_str(put);
        if put.is_empty() && !rest.starts_with('/') || !rest.is_empty() && !rest.starts_with('/') {
            url.push('/');
        }
        url.push_str(rest);
    }
}

/// A path without a prefix that ends at a segment; the whole path where it has none such.
fn without<'a>(path: &'a str, prefix: &str) -> &'a str {
    let prefix = prefix.trim_end_matches('/');
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

// === impl EndpointNames ===

impl EndpointNames {
    fn new(endpoint: &crate::config::Endpoint, is_tls: bool) -> Self {
        let address = &endpoint.address;
        let host = match &address.host {
            Host::Ip(ip) => Arc::from(ip.to_string()),
            Host::Name(name) => Arc::clone(name),
        };
        Self {
            host,
            port: address.port,
            scheme: if is_tls { "https" } else { "http" },
            authority: Arc::from(address.to_string()),
        }
    }
}
