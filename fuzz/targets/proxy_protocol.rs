//! Any bytes as a PROXY header, as they come in one by one: a verdict stands whatever follows, a header ends where it says,
//! and what a line of version 1 says comes back when it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sightglass::server::proxy_protocol::{Header, parse};

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    let mut before = Ok(None);
    for length in 0..=data.len() {
        let now = parse(&data[..length]);
        if before != Ok(None) {
            assert_eq!(now, before, "with {length} bytes it is another");
        }
        if let Ok(Some((_, end))) = now {
            assert!(end <= length, "it ends at {end} of {length} bytes");
            assert!(
                before != Ok(None) || end == length,
                "it was there with {end} bytes already"
            );
        }
        before = now;
    }
    assert_eq!(before, whole);

    let Ok(Some((header, end))) = whole else {
        return;
    };
    if data.starts_with(b"PROXY ") {
        assert!(end <= 107 && data[..end].ends_with(b"\r\n"));
    }
    if let Header::Proxied {
        source,
        destination,
    } = header
    {
        assert_eq!(source.is_ipv4(), destination.is_ipv4());
        let family = if source.is_ipv4() { 4 } else { 6 };
        let (from, to) = (source.ip(), destination.ip());
        let line = format!(
            "PROXY TCP{family} {from} {to} {} {}\r\n",
            source.port(),
            destination.port()
        );
        assert_eq!(
            parse(line.as_bytes()),
            Ok(Some((header, line.len()))),
            "{line:?}"
        );
    }
});
