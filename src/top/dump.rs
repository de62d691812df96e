//! Exchanges in a file that the flight recorder has written: JSON Lines after a head.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why a dump says nothing.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no dump of the flight recorder", .0.display())]
    NoDump(PathBuf),
}

/// The newest exchange of this trace, as it is written there.
pub(super) fn exchange(path: &Path, id: &str) -> Result<Option<Vec<u8>>, DumpError> {
    let failed = |source| DumpError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::with_capacity(256 << 10, File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line).map_err(failed)?;
    let head: Option<Value> = serde_json::from_slice(&line).ok();
    if !head.is_some_and(|head| head["sightglass_recorder"].is_u64()) {
        return Err(DumpError::NoDump(path.to_owned()));
    }
    let mut found: Option<(String, Vec<u8>)> = None;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(found.map(|(_, line)| line));
        }
        // Most lines are of other traces, and need not be read as JSON to see that.
        if !line.windows(id.len()).any(|it| it == id.as_bytes()) {
            continue;
        }
        let Ok(exchange) = serde_json::from_slice::<Value>(&line) else {
            continue; // the last line of a disk that was full
        };
        let time = exchange["time"].as_str().unwrap_or_default();
        if exchange["trace_id"] == id && found.as_ref().is_none_or(|(known, _)| &**known <= time) {
            found = Some((time.to_owned(), line.trim_ascii_end().to_vec()));
        }
    }
}
