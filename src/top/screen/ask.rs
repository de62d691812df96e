//! What is asked of the admin port beside the drawing: two threads, one that follows the rounds and one that asks what
//! the person wants to know.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::top::port::{self, PortError};
use crate::top::{EndpointOptions, decisions, encoded, waterfall, why};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    InFlight,
    /// The newest that failed, or, where none did, the slowest; of those that match.
    Worst(String),
    /// One exchange, by its trace id.
    Trace(String),
    /// What sets those that match apart; without a filter the failed and slow ones.
    Why(Option<String>),
    Hold {
        upstream: String,
        endpoint: String,
        state: &'static str,
    },
}

/// What comes back.
#[derive(Clone, Debug)]
pub(super) enum News {
    Round(Value),
    InFlight(Value),
    /// Exchanges under this title.
    Exchanges(String, Value),
    /// A text under this title.
    Page(String, String),
    /// What an act has done.
    Said(String),
    /// What cannot be had.
    Trouble(String),
    /// The rounds come no more; they are asked for again.
    Away(String),
}

/// Where the questions go, and how the answers come.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) admin: String,
    pub(super) token_file: Option<PathBuf>,
}

/// How long an endpoint is taken out.
const OUT: &str = "10m";
/// Questions that wait for their turn; one too many is not asked. Answers wait until they are drawn.
const WAITING: usize = 4;
const AGAIN: Duration = Duration::from_secs(1);

// === impl Port ===

impl Port {
    /// Starts both threads; they end with the process.
    pub(super) fn start(self) -> std::io::Result<(SyncSender<Ask>, Receiver<News>)> {
        let (asks, asked) = sync_channel(WAITING);
        let (news, told) = sync_channel(WAITING);
        let (port, rounds) = (self.clone(), news.clone());
        thread::Builder::new()
            .name("rounds".to_owned())
            .spawn(move || port.follow(&rounds))?;
        thread::Builder::new()
            .name("questions".to_owned())
            .spawn(move || {
                for ask in asked {
                    if news.send(self.answer(&ask)).is_err() {
                        return;
                    }
                }
            })?;
        Ok((asks, told))
    }

    fn follow(&self, news: &SyncSender<News>) {
        loop {
            match self.rounds(|round| match news.send(News::Round(round)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }) {
                Ok(()) => return,
                Err(error) if news.send(News::Away(error.to_string())).is_err() => return,
                Err(_) => thread::sleep(AGAIN),
            }
        }
    }

    fn rounds<B>(&self, mut take: impl FnMut(Value) -> ControlFlow<B>) -> Result<B, PortError> {
        let token = self.token_file.as_deref();
        port::follow(&self.admin, "/api/v1/live", token, |told| {
            for event in told.into_iter().filter(|it| it.name == "round") {
                if let Ok(round) = serde_json::from_str(&event.data) {
                    take(round)?;
                }
            }
            ControlFlow::Continue(())
        })
    }

    /// One round.
    pub(super) fn round(&self) -> Result<Value, PortError> {
        self.rounds(ControlFlow::Break)
    }

    pub(super) fn in_flight(&self) -> Result<Value, PortError> {
        Ok(self.get("/api/v1/inflight?limit=1000")?.unwrap_or_default())
    }

    fn answer(&self, ask: &Ask) -> News {
        let answered = match ask {
            Ask::InFlight => self.in_flight().map(News::InFlight),
            Ask::Worst(filter) => self.worst(filter),
            Ask::Trace(id) => self.trace(id),
            Ask::Why(filter) => self.why(filter.as_deref()),
            Ask::Hold {
                upstream,
                endpoint,
                state,
            } => self.hold(upstream, endpoint, state),
        };
        answered.unwrap_or_else(|error| News::Trouble(error.to_string()))
    }

    fn worst(&self, filter: &str) -> Result<News, PortError> {
        let failed = encoded(&format!("{filter} && error"));
        let path = format!("/api/v1/exchanges?limit=200&filter={failed}");
        let failed = self.get(&path)?.unwrap_or_default();
        if failed["exchanges"].get(0).is_some() {
            return Ok(News::Exchanges(
                format!("newest that failed, {filter}"),
                failed,
            ));
        }
        let path = format!(
            "/api/v1/exchanges?limit=200&order=slowest&filter={}",
            encoded(filter)
        );
        let slow = self.get(&path)?.unwrap_or_default();
        Ok(News::Exchanges("none failed; the slowest".to_owned(), slow))
    }

    fn trace(&self, id: &str) -> Result<News, PortError> {
        let Some(exchange) = self.get(&format!("/api/v1/exchanges/{id}"))? else {
            let why = format!("{id} is not recorded: it still runs, or is no longer kept");
            return Ok(News::Trouble(why));
        };
        let mut page = waterfall::draw(&exchange, false);
        if let Some(told) = self.get(&format!("/api/v1/exchanges/{id}/explain"))? {
            page.push_str(&decisions::draw(&told, false));
        }
        Ok(News::Page(format!("exchange {id}"), page))
    }

    fn why(&self, filter: Option<&str>) -> Result<News, PortError> {
        let query = filter.map(|it| format!("?filter={}", encoded(it)));
        let path = format!("/api/v1/why{}", query.unwrap_or_default());
        let answer = self.get(&path)?.unwrap_or_default();
        let title = format!("why {}", filter.unwrap_or("failed or slow"));
        Ok(News::Page(title, why::draw(&answer, filter)))
    }

    fn hold(&self, upstream: &str, endpoint: &str, state: &str) -> Result<News, PortError> {
        port::hold(&EndpointOptions {
            upstream: upstream.to_owned(),
            endpoint: endpoint.to_owned(),
            state: state.to_owned(),
            lasts: (state != "ready").then(|| OUT.to_owned()),
            admin: self.admin.clone(),
            token_file: self.token_file.clone(),
        })?;
        Ok(News::Said(match state {
            "ready" => format!("{endpoint} of {upstream} takes attempts"),
            _ => format!("{endpoint} of {upstream} takes no new attempts ({state}) for {OUT}"),
        }))
    }

    /// Answers of an older port may be of another shape: then they are empty.
    fn get(&self, path: &str) -> Result<Option<Value>, PortError> {
        let found = port::get(&self.admin, path, self.token_file.as_deref())?;
        Ok(found.map(|text| serde_json::from_slice(&text).unwrap_or_default()))
    }
}
