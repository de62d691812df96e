//! The words for an endpoint that is taken out while the process runs: no configuration has them, a call does.

/// How an endpoint is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HeldState {
    /// No new attempts; what runs there ends by itself, and idle connections stay.
    Drain = 1,
    /// The same, and idle connections are closed.
    Off = 2,
}

// === impl HeldState ===

impl HeldState {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Off => "off",
        }
    }
}
