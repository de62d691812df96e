//! The program: see the library's page for the tour.

use std::process::ExitCode;

use clap::Parser as _;
use sightglass::cli::Cli;

// Small, short-lived pieces, some of them freed on another thread: what mimalloc is made for. Not yet measured against the
// system's; all published figures are with it.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(Cli::parse().run())
}
