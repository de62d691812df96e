//! `/api/v1/log-level`: what stderr tells, and a target at another level for a while.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::Call;
use super::reply::{self, Reply};
use crate::config::DurationWritten;
use crate::telemetry::log_levels::{LogLevel, LogLevels};

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    target: String,
    level: String,
    #[serde(default, rename = "for")]
    lasts: Option<String>,
}

/// How long a change lasts unless it says so itself.
const STANDARD: Duration = Duration::from_secs(10 * 60);
/// The longest that a change may last.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The longest name of a target, in bytes.
const MAX_TARGET: usize = 128;

/// What is told now.
pub(super) fn page(levels: &LogLevels) -> Reply {
    let changed = levels.changed();
    let changed = changed.iter().map(|it| {
        let until = it.until.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "target": it.target,
            "level": it.level.as_str(),
            "until_unix_seconds": until.as_secs_f64(),
            "who": it.who.to_string(),
        })
    });
    reply::value(&json!({ "standing": levels.base(), "changed": changed.collect::<Value>() }))
}

/// Changes one; the answer is what is told from now on.
pub(super) fn change(levels: &Arc<LogLevels>, call: &Call) -> Reply {
    let asked: Asked = match call.json() {
        Ok(asked) => asked,
        Err(problem) => return *problem,
    };
    let refused = |status, detail| reply::problem(status, detail, Value::Null);
    let (level, lasts) = match read(&asked) {
        Ok(read) => read,
        Err(detail) => return refused(StatusCode::BAD_REQUEST, detail),
    };
    match levels.change(&asked.target, level, lasts, call.who) {
        Ok(()) => page(levels),
        Err(error) => refused(StatusCode::CONFLICT, error.to_string()),
    }
}

fn read(asked: &Asked) -> Result<(LogLevel, Duration), String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-.".contains(&byte);
    let target = asked.target.as_bytes();
    if target.is_empty() || target.len() > MAX_TARGET || !target.iter().all(|it| is_part(*it)) {
        return Err("target has to be a module's path, such as sightglass::upstream".to_owned());
    }
    let Some(level) = LogLevel::of(&asked.level) else {
        let words = LogLevel::WORDS.join(", ");
        return Err(format!("there is no such level; there are {words}"));
    };
    let lasts = match asked.lasts.as_deref().map(str::parse) {
        None => STANDARD,
        Some(Ok(DurationWritten(lasts))) if !lasts.is_zero() && lasts <= LONGEST => lasts,
        Some(Ok(_)) => return Err("for has to be more than 0s and at most 24h".to_owned()),
        Some(Err(error)) => return Err(format!("for: {error}")),
    };
    Ok((level, lasts))
}
