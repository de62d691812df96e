//! Exports through opentelemetry-otlp, which takes less trouble than OTLP allows.
//!
//! A connection that breaks with a request under way is no answer, and the request may be sent again. tonic says it as the
//! status `Unknown`, and opentelemetry-otlp takes that for the collector's last word. So [`export`] begins anew then.

use std::time::Duration;

use opentelemetry_otlp::RetryPolicy;
use opentelemetry_sdk::error::OTelSdkResult;
use tokio::time::Instant;

use super::pauses::{FIRST, LONGEST, Pauses};
use super::rejected::{Rejected, watched};

/// What opentelemetry-otlp tries again by itself, as OTLP classifies it: with back-off, until the collector's timeout.
pub(in crate::telemetry) fn retries() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(usize::MAX)
        .with_initial_delay(FIRST)
        .with_max_delay(LONGEST)
}

/// Has opentelemetry-otlp export a batch: what the collector refused of it, or why it did not take it. `timeout` is the
/// collector's: it is not begun anew after that, and cut off after twice that. Where a connection broke the batch may have
/// been taken all the same: it comes twice then, or is counted as lost although it is there.
pub(in crate::telemetry) async fn export<F>(
    timeout: Duration,
    mut begin: impl FnMut() -> F,
) -> Result<Rejected, String>
where
    F: Future<Output = OTelSdkResult>,
{
    let deadline = Instant::now() + timeout;
    let mut pauses = Pauses::default();
    let mut why = format!("no answer within {:?}", timeout * 2);
    let tries = async {
        loop {
            let (sent, rejected) = watched(begin()).await;
            let Err(error) = sent else {
                return Some(rejected);
            };
            why = error.to_string();
            let pause = pauses.take();
            if !is_broken(&why) || Instant::now() + pause > deadline {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
    };
    let ended = tokio::time::timeout(timeout * 2, tries).await;
    ended.ok().flatten().ok_or(why)
}

/// Whether this says that the connection broke. In opentelemetry-otlp 0.33 an error of gRPC is words: the code, and the
/// causes that tonic had, never the words of a collector.
fn is_broken(why: &str) -> bool {
    why.contains("Unknown") && why.contains("transport error")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    /// How often a batch is begun that fails so.
    async fn tries(timeout: Duration, why: &str) -> (u32, Result<Rejected, String>) {
        let count = Cell::new(0);
        let begin = || {
            count.set(count.get() + 1);
            std::future::ready(Err(OTelSdkError::InternalFailure(why.to_owned())))
        };
        let ended = export(timeout, begin).await;
        (count.get(), ended)
    }

    #[tokio::test]
    async fn a_broken_connection_is_tried_again_until_the_time_is_up_and_an_answer_is_not() {
        let (count, ended) = tries(
            Duration::from_millis(500),
            "gRPC code: Unknown: transport error: connection reset",
        )
        .await;
        assert!(count > 1, "{count}");
        assert!(ended.is_err_and(|why| why.contains("connection reset")));
        let refused = "gRPC code: Unauthenticated: no";
        let (count, ended) = tries(Duration::from_secs(20), refused).await;
        assert_eq!(count, 1);
        assert!(ended.is_err_and(|why| why.contains("Unauthenticated")));
    }
}
