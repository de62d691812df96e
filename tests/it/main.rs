//! The capabilities of sightglass, tested on the real binary over real sockets.
//!
//! One file a capability, one binary for all: it links once. [`rig`] has what a test is made of and an example;
//! [`architecture`] checks the house itself from its source text.

#![allow(
    clippy::expect_used,
    reason = "in a test a broken expectation is the result"
)]

mod access;
mod access_log;
mod admin;
mod architecture;
mod bad_input;
mod balancing;
mod bodies;
mod collector_outage;
mod command_line;
mod conservation;
mod demo;
mod drain;
mod end_to_end;
mod exemplars;
mod explain;
mod generate;
mod grpc;
mod hold;
mod http2_abuse;
mod hygiene;
mod incidents;
mod limits;
mod listener;
mod metrics;
mod objectives;
mod otlp_logs;
mod partners;
mod phases;
mod proxy_protocol;
mod proxy_protocol_out;
mod readme;
mod recorder;
mod retries;
mod rig;
mod routes;
mod schema;
mod semantic_conventions;
mod tail;
mod threat_model;
mod tls;
mod traces;
mod tunnels;
mod upstream_http2;
mod upstream_pool;
mod upstream_tls;
mod verdict;
mod why;
mod xray;
