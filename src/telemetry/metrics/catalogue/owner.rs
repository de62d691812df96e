//! Whose a series is, and who there is in a configuration.

use std::collections::HashSet;

use crate::config::{Name, Plan, Route};
use crate::telemetry::{label, slo};

/// Whose series it is: what must be in the configuration for it to stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::telemetry) enum Owner {
    /// Nobody's in particular.
    Process,
    /// A listener's.
    Listener(Name),
    /// A route's.
    Route(Name),
    /// A route's, with the path pattern that it had.
    Pattern(Name, Box<str>),
    /// A route's, with one of its objectives.
    Slo(Name, &'static str),
    /// An upstream's.
    Upstream(Name),
    /// An endpoint's of an upstream.
    Endpoint(Name, Box<str>),
}

/// Everybody who is in a plan.
pub(super) fn all_of(plan: &Plan) -> HashSet<Owner> {
    let unmatched = Name::new(label::UNMATCHED);
    let mut owners = HashSet::from([
        Owner::Process,
        Owner::Route(unmatched.clone()),
        Owner::Pattern(unmatched, Box::from("")),
    ]);
    for listener in &plan.listeners {
        owners.insert(Owner::Listener(listener.name.clone()));
    }
    for route in &plan.routes {
        owners.insert(Owner::Route(route.name.clone()));
        owners.insert(Owner::pattern(route));
    }
    for objective in slo::of_plan(plan) {
        owners.insert(Owner::Slo(objective.route, objective.slo));
    }
    for upstream in &plan.upstreams {
        owners.insert(Owner::Upstream(upstream.name.clone()));
        for endpoint in &upstream.endpoints {
            owners.insert(Owner::Endpoint(
                upstream.name.clone(),
                endpoint.address.to_string().into(),
            ));
        }
    }
    owners
}

// === impl Owner ===

impl Owner {
    /// A route's, with its path pattern.
    pub(in crate::telemetry) fn pattern(route: &Route) -> Self {
        Self::Pattern(route.name.clone(), route.matches.path.as_str().into())
    }

    /// Whether its series stay for a while when it is gone.
    pub(super) fn lingers(&self) -> bool {
        !matches!(self, Self::Endpoint(..))
    }
}
