//! `PUT /api/v1/upstreams/{name}/endpoints/{address}`: an endpoint is taken out for a while, or put back.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sources;
use super::control::{Call, HoldAsked, HoldRefused};
use super::reply::{self, Reply};
use super::upstreams;
use crate::config::{DurationWritten, HeldState};

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    state: String,
    #[serde(default, rename = "for")]
    lasts: Option<String>,
}

/// The shortest and the longest that an endpoint may be taken out for.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The upstream and the endpoint that a path names, as they stand in it.
pub(super) fn named(path: &str) -> Option<(&str, &str)> {
    let (upstream, endpoint) = path
        .strip_prefix("/api/v1/upstreams/")?
        .split_once("/endpoints/")?;
    let is_one = |part: &str| !part.is_empty() && !part.contains('/');
    (is_one(upstream) && is_one(endpoint)).then_some((upstream, endpoint))
}

/// Does it; the answer is the endpoint as it is from now on.
pub(super) fn change(sources: &Sources, path: &str, call: &Call) -> Reply {
    let refused = |status, detail| reply::problem(status, detail, Value::Null);
    let asked: Asked = match call.json() {
        Ok(asked) => asked,
        Err(problem) => return *problem,
    };
    let out = match read(&asked) {
        Ok(out) => out,
        Err(detail) => return refused(StatusCode::BAD_REQUEST, detail),
    };
    let Some((upstream, endpoint)) = named(path) else {
        return refused(StatusCode::NOT_FOUND, "there is no such page".to_owned());
    };
    // An IPv6 address may come percent-encoded: its brackets are not allowed in a path.
    let (upstream, endpoint) = (decoded(upstream), decoded(endpoint));
    let hold = HoldAsked {
        upstream: &upstream,
        endpoint: &endpoint,
        out,
    };
    match sources.control.hold(&hold, call.who) {
        Ok(()) => upstreams::one_endpoint(sources, &upstream, &endpoint),
        Err(why) => {
            let status = match why {
                HoldRefused::TheLast => StatusCode::CONFLICT,
                HoldRefused::NoUpstream | HoldRefused::NoEndpoint => StatusCode::NOT_FOUND,
            };
            let known = sources.running.upstreams();
            let endpoints = |it: &super::UpstreamFigures| -> Value {
                let addresses = it.endpoints.iter().map(|it| it.address.to_string());
                addresses.collect::<Vec<_>>().into()
            };
            let known = known
                .iter()
                .map(|it| (it.name.to_string(), endpoints(it)))
                .collect();
            let more = json!({ "upstreams": Value::Object(known) });
            reply::problem(status, why.to_string(), more)
        }
    }
}

fn read(asked: &Asked) -> Result<Option<(HeldState, Duration)>, String> {
    let state = match &*asked.state {
        "ready" if asked.lasts.is_none() => return Ok(None),
        "ready" => return Err("for: what is ready is so until somebody takes it out".to_owned()),
        "drain" => HeldState::Drain,
        "off" => HeldState::Off,
        _ => return Err("state has to be ready, drain or off".to_owned()),
    };
    match asked.lasts.as_deref().map(str::parse) {
        None => Err("for is missing: how long, such as 10m; it comes back by itself".to_owned()),
        Some(Ok(DurationWritten(lasts))) if (SHORTEST..=LONGEST).contains(&lasts) => {
            Ok(Some((state, lasts)))
        }
        Some(Ok(_)) => Err("for has to be 1s to 24h".to_owned()),
        Some(Err(error)) => Err(format!("for: {error}")),
    }
}

fn decoded(text: &str) -> String {
    super::query::decoded(text).map_or_else(|| text.to_owned(), std::borrow::Cow::into_owned)
}
