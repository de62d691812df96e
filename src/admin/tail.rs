//! `/api/v1/tail`: exchanges as they finish, for as long as somebody looks (`text/event-stream`).
//!
//! `event: exchange` carries one, in the words of the access log; `event: missed` how many matched besides, for which
//! there was no room. Where nothing comes, a comment every ten seconds says that the stream lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::page::Pages;
use super::query::{BadParameter, Parameters};
use super::reply::{self, Reply};
use crate::telemetry::filter::Filter;
use crate::telemetry::tail::Glimpse;

const HEARTBEAT: Duration = Duration::from_secs(10);
const ALIVE: &[u8] = b": nothing matched for a while\n\n";

/// The stream of one viewer.
pub(super) fn stream(pages: &Arc<Pages>, query: &str) -> Reply {
    let (plan, _) = pages.sources.running.plan();
    let read = || -> Result<Option<Filter>, BadParameter> {
        Parameters::read(query, &["filter"])?.filter(&plan)
    };
    let filter = match read() {
        Ok(filter) => filter,
        Err(bad) => return bad.into(),
    };
    let (feed, reply) = match reply::events(&pages.streams) {
        Ok(opened) => opened,
        Err(full) => return *full,
    };
    let mut glimpses = pages.sources.tail.look(filter);
    tokio::spawn(async move {
        loop {
            let piece = match tokio::time::timeout(HEARTBEAT, glimpses.recv()).await {
                Ok(Some(glimpse)) => events(&glimpse),
                Ok(None) => return, // telemetry ends
                Err(_) => Bytes::from_static(ALIVE),
            };
            if feed.send(piece).await.is_err() {
                return; // it has gone, or reads no more
            }
        }
    });
    reply
}

fn events(glimpse: &Glimpse) -> Bytes {
    let mut out = Vec::with_capacity(glimpse.lines.len() + glimpse.lines.len() / 16 + 64);
    for line in glimpse.lines.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            out.extend_from_slice(b"event: exchange\ndata: ");
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n\n");
        }
    }
    if glimpse.missed > 0 {
        let told = json!({ "missed": glimpse.missed });
        out.extend_from_slice(format!("event: missed\ndata: {told}\n\n").as_bytes());
    }
    out.into()
}
