//! Traces: where an exchange stands in one, whether it is kept, and how it gets to the collector.

pub mod propagation;
mod sampling;

pub use sampling::{HeadShare, KeepRules};
