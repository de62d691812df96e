//! `/api/v1/inflight`: every exchange that is now in the proxy, and every connection.

use super::Sources;
use super::exchanges::limit;
use super::query::{BadParameter, Parameters};
use super::reply::{self, Reply};
use crate::config::Plan;
use crate::telemetry::filter::Filter;

/// How many of each are given where nobody said, and at most.
const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 10_000;

/// The oldest first.
pub(super) fn page(sources: &Sources, query: &str) -> Reply {
    let (plan, _) = sources.running.plan();
    match read(query, &plan) {
        Ok((filter, limit)) => {
            let all = sources.running.in_flight();
            reply::json(all.json(&plan, filter.as_ref(), limit))
        }
        Err(bad) => bad.into(),
    }
}

fn read(query: &str, plan: &Plan) -> Result<(Option<Filter>, usize), BadParameter> {
    let read = Parameters::read(query, &["filter", "limit"])?;
    Ok((read.filter(plan)?, limit(&read, DEFAULT_LIMIT, MOST)?))
}
