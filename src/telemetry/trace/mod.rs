//! Traces: where an exchange stands in one, whether it is kept, and how it gets to the collector.

pub mod environment;
#[cfg(test)]
mod fixture;
mod names;
pub mod propagation;
mod sampling;
mod span;
mod words;

pub use environment::Environment;
pub use sampling::{HeadShare, KeepRules};
pub use span::{Anchor, SpanMaker};
