//! What a collector says to a request.
//!
//! The answers of all of OTLP's services have one shape: `partial_success` with how many items were rejected and why.

use std::time::Duration;

use super::Rejected;

/// `Export…ServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`, as far as it is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// When a collector that is overloaded wants to be asked again, where it says so in the details of its status.
pub(super) fn retry_after(details: &[u8]) -> Option<Duration> {
    use prost::Message as _;
    let details = Details::decode(details).ok()?.details;
    let info = details
        .iter()
        .find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    Some(Duration::new(seconds, u32::try_from(delay.nanos).ok()?))
}

impl From<Answer> for Rejected {
    fn from(answer: Answer) -> Self {
        let partial = answer.partial_success.unwrap_or_default();
        Self {
            items: u64::try_from(partial.rejected).unwrap_or(0),
            why: partial.error_message,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn reads_when_to_come_again() {
        let info = RetryInfo {
            retry_delay: Some(Delay {
                seconds: 2,
                nanos: 500_000_000,
            }),
        };
        let any = |type_url: &str| Any {
            type_url: type_url.to_owned(),
            value: info.encode_to_vec(),
        };
        let told = |url| {
            let details = Details {
                details: vec![any("type.googleapis.com/google.rpc.Help"), any(url)],
            };
            retry_after(&details.encode_to_vec())
        };
        let after = told("type.googleapis.com/google.rpc.RetryInfo");
        assert_eq!(after, Some(Duration::from_millis(2500)));
        assert_eq!(told("type.googleapis.com/google.rpc.Other"), None);
        assert_eq!(retry_after(b"\xff\xff"), None);
    }
}
