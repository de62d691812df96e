//! What happens to a request in front of an attempt: one layer a file, put together in [`stack`].

mod canonical;
mod deadline;
mod forwarded;
pub mod limit;
mod respond;
pub mod retry;
mod rewrite;
mod route;
mod sanitize;
pub mod stack;

pub use respond::ResponseRules;
pub use route::RouteTable;
pub use sanitize::ListenerRules;
