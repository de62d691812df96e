//! Quantities with their units: sizes, rates and shares. Durations are `std::time::Duration`.

use std::time::Duration;

/// A number of bytes, written `64KiB`, `10MiB`, `1GiB` or `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number of bytes as the platform's size, saturating.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// So many in a time, written `100/s` or `6000/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// In which time: a second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// The time that one takes at this rate.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// A share of a whole, 0 to 1, written `20%` or `99.9%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);
    /// None of it.
    pub const NONE: Self = Self(0.0);
}
