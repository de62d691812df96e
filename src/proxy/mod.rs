//! What happens to a request in front of an attempt: one layer a file, put together in [`stack`].

pub mod access;
pub mod canonical;
pub mod deadline;
pub mod forwarded;
pub mod grpc_timeout;
pub mod https_redirect;
pub mod limit;
pub mod refused;
pub mod respond;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod sanitize;
pub mod stack;
pub mod upgrade;

#[cfg(test)]
mod testing;

pub use respond::ResponseRules;
pub use route::RouteTable;
pub use sanitize::ListenerRules;
