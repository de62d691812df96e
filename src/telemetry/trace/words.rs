//! The names of the attributes and events that are ours.

pub(super) const ROUTE: &str = "sightglass.route";
pub(super) const OUTCOME: &str = "sightglass.outcome";
pub(super) const REASON: &str = "sightglass.sampling.reason";
pub(super) const WEIGHT: &str = "sightglass.sampling.weight";
pub(super) const GENERATION: &str = "sightglass.config.generation";
pub(super) const GRPC_STATUS: &str = "sightglass.grpc_status";
pub(super) const UPSTREAM: &str = "sightglass.upstream";
pub(super) const ATTEMPT: &str = "sightglass.attempt";
pub(super) const REUSED: &str = "sightglass.connection.reused";
pub(super) const FAULT: &str = "sightglass.fault";
pub(super) const DETAIL: &str = "sightglass.detail";
