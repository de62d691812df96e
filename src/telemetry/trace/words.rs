//! The names of the attributes and events that are ours.

pub(super) const ROUTE: &str = "sightglass.route";
pub(super) const OUTCOME: &str = "sightglass.outcome";
pub(super) const REASON: &str = "sightglass.sampling.reason";
pub(super) const WEIGHT: &str = "sightglass.sampling.weight";
pub(super) const GENERATION: &str = "sightglass.config.generation";
/// Who asked, where they have proved it. OpenTelemetry's `user.name` is not stable yet.
pub(super) const USER: &str = "sightglass.user";
pub(super) const GRPC_STATUS: &str = "sightglass.grpc_status";
pub(super) const TUNNEL: &str = "sightglass.tunnel";
pub(super) const UPSTREAM: &str = "sightglass.upstream";
pub(super) const ATTEMPT: &str = "sightglass.attempt";
pub(super) const EARLY_HINTS: &str = "sightglass.early_hints";
pub(super) const REUSED: &str = "sightglass.connection.reused";
pub(super) const FAULT: &str = "sightglass.fault";
pub(super) const DETAIL: &str = "sightglass.detail";
