//! What the side port's pages are made of: the graph in force, seen through the admin room's own door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::admin::{Control, EndpointFigures, Held, Running, Sources, UpstreamFigures};
use crate::config::{Name, Plan};
use crate::graph::Graph;
use crate::server::Team;
use crate::telemetry::Telemetry;
use crate::telemetry::in_flight::InFlight;

/// Whatever graph is in force.
struct InForce(Arc<ArcSwap<Graph>>, Team);

/// The sources of the pages.
pub(super) fn of(
    telemetry: &Telemetry,
    graph: &Arc<ArcSwap<Graph>>,
    team: &Team,
    listeners: Vec<(Name, SocketAddr)>,
    control: Arc<dyn Control>,
) -> Sources {
    Sources {
        scraper: Arc::clone(telemetry.scraper()),
        catalogue: Arc::clone(telemetry.catalogue()),
        recorder: Arc::clone(telemetry.recorder()),
        figures: telemetry.figures().clone(),
        verdict: telemetry.verdict().clone(),
        tail: telemetry.tail().clone(),
        happened: telemetry.happened().clone(),
        slos: telemetry.slos().clone(),
        ledger: Arc::clone(telemetry.ledger()),
        listeners,
        log_levels: Arc::clone(telemetry.log_levels()),
        control,
        explain: crate::explain::recorded,
        running: Arc::new(InForce(Arc::clone(graph), team.clone())),
    }
}

// === impl InForce ===

impl Running for InForce {
    fn plan(&self) -> (Arc<Plan>, u32) {
        let graph = self.0.load();
        (Arc::clone(&graph.plan), graph.generation)
    }

    fn loaded_at(&self) -> SystemTime {
        self.0.load().since
    }

    fn in_flight(&self) -> InFlight {
        self.1.in_flight()
    }

    fn upstreams(&self) -> Vec<UpstreamFigures> {
        let graph = self.0.load();
        let upstreams = graph.upstreams.iter().map(|upstream| UpstreamFigures {
            name: upstream.name().clone(),
            protocol: upstream.plan.protocol,
            balance: upstream.plan.balance,
            endpoints: upstream
                .endpoints
                .iter()
                .map(|endpoint| EndpointFigures {
                    address: endpoint.address.clone(),
                    weight: endpoint.weight,
                    active: endpoint.active(),
                    held: endpoint.holding.hold().map(|it| Held {
                        state: it.state,
                        until: it.until,
                        who: it.who,
                    }),
                    latency_seconds: endpoint.latency(),
                })
                .collect(),
            active_connections: upstream.meters.active.get(),
            idle_connections: upstream.meters.idle.get(),
            opened_connections: upstream.meters.opened.get(),
        });
        upstreams.collect()
    }
}
