//! Bodies, both ways: streamed in constant memory, framed for whoever reads them, counted to the byte.

mod framing;
mod pace;
mod streaming;

use serde_json::Value;

use super::rig::Proxy;

/// Asserts what the log says of the only exchange so far.
fn assert_counts(proxy: &Proxy, bytes_in: u64, bytes_out: u64) -> Value {
    let line = proxy.wait_log_lines(1).remove(0);
    assert_eq!(line["outcome"], "served", "{line}");
    assert_eq!(line["bytes_in"], bytes_in, "bytes_in: {line}");
    assert_eq!(line["bytes_out"], bytes_out, "bytes_out: {line}");
    line
}
