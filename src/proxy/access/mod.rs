//! Who may use a route: from where ([`Allow`]), and who ([`Authenticate`]).
//!
//! `Allow` stands above the rate limit, being the cheapest refusal there is; `Authenticate` below it, so that guessing is
//! limited where a limit is set. Each way to say who somebody is notes its result with
//! [`Exchange::note_identity`](crate::exchange::Exchange::note_identity), whichever way it was: the record, the log and
//! the span do not care.

mod allow;
mod authenticate;
mod credentials;

pub use allow::Allow;
pub use authenticate::Authenticate;
pub use credentials::Credentials;
