//! Endpoints that are taken out for a while, and come back by themselves.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::admin::{HoldAsked, HoldRefused};
use crate::graph::Graph;
use crate::telemetry::{Event, emit};
use crate::upstream::{Hold, Holding};

/// Takes endpoints of the graph in force out and puts them back.
pub(super) struct Holds {
    graph: Arc<ArcSwap<Graph>>,
    /// One at a time: two calls must not take out the last two endpoints of an upstream.
    turn: Mutex<()>,
}

// === impl Holds ===

impl Holds {
    pub(super) fn new(graph: &Arc<ArcSwap<Graph>>) -> Self {
        Self {
            graph: Arc::clone(graph),
            turn: Mutex::default(),
        }
    }

    /// Does what is asked. To be called where tokio's control runtime is at hand: the way back is a task there.
    pub(super) fn hold(&self, asked: &HoldAsked<'_>, who: IpAddr) -> Result<(), HoldRefused> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let graph = self.graph.load();
        let named = graph
            .upstreams
            .iter()
            .find(|it| it.name().as_str() == asked.upstream);
        let upstream = named.ok_or(HoldRefused::NoUpstream)?;
        let is_asked = |address: &dyn ToString| address.to_string() == asked.endpoint;
        let endpoint = upstream.endpoints.iter().find(|it| is_asked(&it.address));
        let endpoint = endpoint.ok_or(HoldRefused::NoEndpoint)?;
        let name = upstream.name().clone();
        let address = endpoint.address.to_string();
        let Some((state, lasts)) = asked.out else {
            if endpoint.holding.put_back(None) {
                emit(Event::EndpointReturned {
                    upstream: name,
                    endpoint: address,
                    by: who.to_string(),
                });
            }
            return Ok(());
        };
        let mut others = upstream
            .endpoints
            .iter()
            .filter(|it| !is_asked(&it.address));
        if others.all(|it| it.holding.is_out()) {
            return Err(HoldRefused::TheLast);
        }
        let hold = Hold {
            state,
            until: SystemTime::now() + lasts,
            who,
        };
        let number = endpoint.holding.take_out(hold);
        emit(Event::EndpointTakenOut {
            upstream: name.clone(),
            endpoint: address.clone(),
            state: state.as_str(),
            lasts,
            who,
        });
        let holding = Arc::clone(&endpoint.holding);
        tokio::spawn(back(holding, number, lasts, move || {
            emit(Event::EndpointReturned {
                upstream: name,
                endpoint: address,
                by: "its time".to_owned(),
            });
        }));
        Ok(())
    }
}

/// Puts it back when its time is up, unless another hold came after it.
async fn back(holding: Arc<Holding>, number: u64, lasts: Duration, tell: impl FnOnce()) {
    tokio::time::sleep(lasts).await;
    if holding.put_back(Some(number)) {
        tell();
    }
}
