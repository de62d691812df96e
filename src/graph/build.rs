//! From a plan to a graph, carrying over what the one before has and the plan did not change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::Graph;
use crate::config::{self, Plan};
use crate::exchange::Gauge;
use crate::proxy::access::Credentials;
use crate::proxy::limit::{Allowances, Bucket};
use crate::proxy::retry::{RetryBudget, RetryPolicy};
use crate::proxy::stack::{FrontParts, RouteParts};
use crate::telemetry::Catalogue;
use crate::tls::{ClientTls, Found};
use crate::upstream::{Endpoint, Upstream};

static NEXT_ENDPOINT: AtomicU64 = AtomicU64::new(1);

impl Graph {
    /// The graph of this plan, after `before`. Blocks on the disk where files are named.
    ///
    /// # Errors
    /// A file that it names cannot be used.
    pub fn build(
        plan: Arc<Plan>,
        before: Option<&Self>,
        front: FrontParts,
        catalogue: &Arc<Catalogue>,
    ) -> Result<Self, Found> {
        let upstreams = (0..)
            .zip(&plan.upstreams)
            .map(|(index, upstream)| {
                build_upstream(index, upstream, before, catalogue).map(Arc::new)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let routes = plan
            .routes
            .iter()
            .map(|route| build_route(route, &upstreams, before, catalogue))
            .collect();
        Ok(Self {
            generation: before.map_or(1, |before| before.generation.wrapping_add(1)),
            since: SystemTime::now(),
            listeners: plan
                .listeners
                .iter()
                .map(|it| catalogue.listener(&it.name))
                .collect(),
            upstreams,
            routes,
            front,
            plan,
        })
    }

    fn route_before(&self, name: &config::Name) -> Option<(&config::Route, &RouteParts)> {
        self.plan
            .routes
            .iter()
            .zip(&self.routes)
            .find(|(route, _)| route.name == *name)
    }
}

fn build_upstream(
    index: u16,
    plan: &config::Upstream,
    before: Option<&Graph>,
    catalogue: &Arc<Catalogue>,
) -> Result<Upstream, Found> {
    let same_name = before.and_then(|graph| {
        graph
            .upstreams
            .iter()
            .find(|upstream| *upstream.name() == plan.name)
            .map(Arc::as_ref)
    });
    let tls_before = same_name.and_then(|upstream| upstream.tls.as_ref());
    let tls = ClientTls::build(usize::from(index), plan, tls_before)?;
    // Connections are kept by endpoint: another protocol, or another certificate, needs others.
    let known = same_name.filter(|before| Upstream::goes_on_from(plan, tls.as_ref(), before));
    let endpoints = plan.endpoints.iter().map(|endpoint| {
        let same = known.and_then(|upstream| {
            upstream
                .endpoints
                .iter()
                .find(|known| known.address == endpoint.address && known.weight == endpoint.weight)
        });
        same.cloned().unwrap_or_else(|| {
            let id = NEXT_ENDPOINT.fetch_add(1, Ordering::Relaxed);
            let fresh = Endpoint::new(id, endpoint.address.clone(), endpoint.weight);
            let mut before = same_name.iter().flat_map(|it| &it.endpoints);
            let before = before.find(|it| it.address == endpoint.address);
            Arc::new(match before {
                Some(before) => fresh.held_as(before),
                None => fresh,
            })
        })
    });
    Ok(Upstream::new(
        index,
        plan,
        known,
        endpoints.collect(),
        tls,
        catalogue.upstream(&plan.name),
    ))
}

fn build_route(
    plan: &config::Route,
    upstreams: &[Arc<Upstream>],
    before: Option<&Graph>,
    catalogue: &Arc<Catalogue>,
) -> RouteParts {
    let known = before.and_then(|graph| graph.route_before(&plan.name));
    let allowances = plan.rate_limit.as_ref().map(|limit| {
        let same = known
            .filter(|(before, _)| before.rate_limit.as_ref() == Some(limit))
            .and_then(|(_, parts)| parts.allowances.clone());
        same.unwrap_or_else(|| {
            Arc::new(Allowances::new(
                Bucket::new(limit.rate, limit.burst),
                limit.key.clone(),
            ))
        })
    });
    let retry = plan.retry.as_ref().map(|retry| {
        let same = known
            .filter(|(before, _)| {
                before
                    .retry
                    .as_ref()
                    .is_some_and(|it| it.budget == retry.budget)
            })
            .and_then(|(_, parts)| Some(Arc::clone(&parts.retry.as_ref()?.budget)));
        let budget = same.unwrap_or_else(|| Arc::new(RetryBudget::new(retry.budget)));
        RetryPolicy {
            plan: retry.clone(),
            budget,
        }
    });
    RouteParts {
        // Never carried over: a reload forgets which passwords were right.
        credentials: plan.access.basic.as_ref().map(Credentials::new),
        allowances,
        retry,
        live: known.map_or_else(Gauge::default, |(_, parts)| parts.live.clone()),
        meters: catalogue.route(plan),
        splits: plan
            .to
            .iter()
            .filter_map(|split| Some((Arc::clone(upstreams.get(split.upstream)?), split.weight)))
            .collect(),
    }
}
