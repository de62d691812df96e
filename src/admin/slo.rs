//! `/api/v1/slo`: how the objectives of each route stand.

use serde_json::{Map, Value, json};

use super::Sources;
use super::reply::{self, Reply};
use crate::telemetry::slo::{Standing, WINDOWS};

/// Every objective, in the order of the routes.
pub(super) fn page(sources: &Sources) -> Reply {
    let standings = sources.slos.standings();
    reply::value(&json!({ "objectives": standings.iter().map(standing).collect::<Value>() }))
}

fn standing(it: &Standing) -> Value {
    let windows = std::iter::zip(WINDOWS, it.burn_rates());
    let windows: Map<String, Value> = std::iter::zip(windows, it.windows)
        .map(|(((window, _), rate), counts)| {
            let value = rate.zip(counts).map(
                |(rate, counts)| json!({"burn_rate": rate, "good": counts.good, "bad": counts.bad}),
            );
            (window.to_owned(), json!(value))
        })
        .collect();
    let objective = &it.objective;
    json!({
        "route": objective.route.as_str(),
        "slo": objective.slo,
        "objective": objective.share.0,
        "within_seconds": objective.within.map(|within| within.as_secs_f64()),
        "window_seconds": objective.window.as_secs(),
        "good": it.counts.good,
        "bad": it.counts.bad,
        // Null where the process has not lived through the window.
        "windows": windows,
        "budget": {
            "remaining": it.budget_left(),
            "good": it.in_budget.good,
            "bad": it.in_budget.bad,
            "lived_seconds": it.lived.as_secs_f64(),
        },
        "is_burning": it.is_burning,
    })
}
