//! stub
use std::time::Duration;
#[derive(Debug)]
pub struct DemoOptions {
    pub otlp: Option<String>,
    pub requests_per_second: u32,
    pub duration: Option<Duration>,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct DemoError;
pub fn run(_: DemoOptions) -> Result<(), DemoError> {
    Err(DemoError)
}
