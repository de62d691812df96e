//! Live figures.
