//! When a failed attempt is followed by another.
//!
//! Two rules stand apart. [`Retry`] is the route's policy: conditions, a count, a budget, a back-off. [`Resend`] is none
//! of these: a request that a dead pooled connection gave back before a byte of it was sent goes out once more, since
//! that is no failure of the service, only of our guess that the connection was still alive.

mod backoff;
mod budget;
mod layer;
mod policy;
mod replay;
mod resend;

pub use budget::RetryBudget;
pub use layer::Retry;
pub use policy::RetryPolicy;
pub use resend::Resend;
