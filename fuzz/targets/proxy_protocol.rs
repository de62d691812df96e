//! Any bytes as a PROXY header: what a part of them says the whole says too, what is read is read the same alone, and a
//! header of version 1 is what its text says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sightglass::server::proxy_protocol::{Header, parse};

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    for end in 0..=data.len().min(300) {
        let part = parse(&data[..end]);
        if part != Ok(None) {
            assert_eq!(part, whole, "the first {end} bytes");
        }
    }
    let Ok(Some((header, used))) = whole else {
        return;
    };
    assert!(used <= data.len());
    assert_eq!(parse(&data[..used]), whole);
    if let Header::Proxied {
        source,
        destination,
    } = header
    {
        assert_eq!(source.is_ipv4(), destination.is_ipv4());
        if data.starts_with(b"PROXY ") {
            let text = std::str::from_utf8(&data[..used]).expect("it was read as text");
            let ports = format!(" {} {}\r\n", source.port(), destination.port());
            assert!(text.ends_with(&ports), "{text:?}");
        }
    }
});
