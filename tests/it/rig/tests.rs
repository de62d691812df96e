//! The rig tested by itself: its two ends talk to each other, so that a red capability test means the proxy.

mod collector;
mod http1;
mod http2;
mod partner;
mod process;
mod tls;
