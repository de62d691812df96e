//! `/api/v1/live`: what the page draws, as an event a second (`text/event-stream`) for as long as somebody looks.
//!
//! One round is made a second, whoever looks: ten viewers cost what one does, but for the bytes. Nobody looks: nothing is
//! made. A viewer that is behind gets the newest round and none of those between.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::page::Pages;
use super::reply::{self, Reply};
use super::{books, map, process, routes, upstreams, verdict};

/// The rounds, and who waits for them.
#[derive(Debug)]
pub(super) struct Rounds {
    newest: watch::Sender<Bytes>,
    /// Whether somebody makes them. Locked where a viewer comes and where the maker looks whether one is left, so that
    /// none comes between.
    is_made: Mutex<bool>,
}

const EVERY: Duration = Duration::from_secs(1);

// === impl Rounds ===

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            newest: watch::channel(Bytes::new()).0,
            is_made: Mutex::new(false),
        }
    }

    /// Rounds from now on; made from now on where nobody looked before.
    fn watch(&self, pages: &Arc<Pages>) -> watch::Receiver<Bytes> {
        let mut is_made = self.is_made.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = self.newest.subscribe();
        if !*is_made {
            *is_made = true;
            tokio::spawn(make(Arc::clone(pages)));
        }
        rounds
    }

    /// Whether nobody looks any more: then the next viewer starts a maker.
    fn is_left(&self) -> bool {
        let mut is_made = self.is_made.lock().unwrap_or_else(PoisonError::into_inner);
        *is_made = self.newest.receiver_count() > 0;
        !*is_made
    }
}

/// The stream of one viewer.
pub(super) fn stream(pages: &Arc<Pages>) -> Reply {
    let (feed, reply) = match reply::events(&pages.streams) {
        Ok(opened) => opened,
        Err(full) => return *full,
    };
    let mut rounds = pages.rounds.watch(pages);
    tokio::spawn(async move {
        rounds.mark_unchanged(); // what was made for others may be a second old
        while rounds.changed().await.is_ok() {
            let round = rounds.borrow_and_update().clone();
            if feed.send(round).await.is_err() {
                break; // it has gone, or reads no more
            }
        }
    });
    reply
}

async fn make(pages: Arc<Pages>) {
    let mut turns = tokio::time::interval(EVERY);
    loop {
        turns.tick().await;
        if pages.rounds.is_left() {
            return;
        }
        let of = Arc::clone(&pages);
        match tokio::task::spawn_blocking(move || round(&of)).await {
            Ok(round) => drop(pages.rounds.newest.send_replace(round)),
            Err(_) => return, // the runtime ends
        }
    }
}

/// The pages that make up a round, each under its name.
fn round(pages: &Pages) -> Bytes {
    let sources = &pages.sources;
    let parts = [
        ("routes", routes::page(sources)),
        ("upstreams", upstreams::page(sources)),
        ("telemetry", books::page(sources)),
        (
            "process",
            process::page(sources, pages.since, &pages.readiness),
        ),
        ("verdict", verdict::page(sources)),
        ("map", map::page(sources)),
    ];
    let mut out = b"event: round\ndata: {".to_vec();
    for (index, (name, page)) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        out.extend_from_slice(&reply::whole(page)); // JSON without line breaks
    }
    out.extend_from_slice(b"}\n\n");
    out.into()
}
