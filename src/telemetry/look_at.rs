//! What only this room can say of a configuration: whether its filters can be read, which header fields look like secrets,
//! whether dumps have a folder to go to.

use super::filter::Filter;
use super::looks_secret;
use crate::config::{Loaded, Problem};

/// What is wrong with the filters, header fields and folders of a configuration, each with the key that names it. Blocks on
/// the disk.
#[must_use]
pub fn look_at(loaded: &Loaded) -> Vec<Problem> {
    let telemetry = &loaded.plan.telemetry;
    let mut told = Vec::new();
    for (place, name) in telemetry.headers.iter().enumerate() {
        if looks_secret(name.as_str()) {
            let key = format!("telemetry.headers[{place}]");
            let what = format!("{name} looks like a secret, which nobody should read here");
            let hint = "a field that names the caller without proving it, such as x-tenant";
            told.push(loaded.problem(&key, what, Some(hint.to_owned())));
        }
    }
    if let Some(text) = &telemetry.access_log.filter
        && let Err(error) = Filter::read_for(text, &loaded.plan)
    {
        let what = format!("column {} of the filter: {}", error.column, error.what);
        told.push(loaded.problem("telemetry.access_log.filter", what, error.hint));
    }
    if let Some(dump) = &telemetry.recorder.dump
        && !dump.is_dir()
    {
        let what = format!("{} is no folder", dump.display());
        let hint = "dumps fail until it is one".to_owned();
        told.push(loaded.warning("telemetry.recorder.dump", what, Some(hint)));
    }
    told
}
