//! Any target, as hyper would hand it on: the canonical form is one form, has no dot segment for any reader, and means what
//! the original meant.

#![no_main]

use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use sightglass::proxy::canonical::canonical;

fuzz_target!(|data: &[u8]| {
    let Ok(target) = PathAndQuery::try_from(data) else {
        return;
    };
    let Ok(changed) = canonical(&target) else {
        return;
    };
    if let Some(changed) = &changed {
        assert_ne!(changed.as_str(), target.as_str(), "a change is a change");
        let again = canonical(changed).expect("the canonical form is not refused");
        assert_eq!(again, None, "the canonical form of {changed:?} is itself");
    }
    let form = changed.as_ref().unwrap_or(&target);
    if form.as_str() != "*" {
        check_path(form.path());
        assert_eq!(
            walked(target.path()),
            walked(form.path()),
            "{target:?} went to another place"
        );
    }
    let query = |target: &PathAndQuery| target.query().map(decoded);
    assert_eq!(
        query(&target),
        query(form),
        "{target:?} asks for something else"
    );
});

/// Grammar of RFC 3986 §3.3, escapes only where they are needed, and nothing that some reader takes for a dot segment.
fn check_path(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path:?}");
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_known = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(byte);
        assert!(is_known, "{path:?} has byte {byte}");
        if *byte == b'%' {
            let digits = bytes.get(at + 1..at + 3).expect("two digits");
            assert!(
                digits
                    .iter()
                    .all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F')),
                "{path:?}"
            );
            let escaped = decoded(&path[at..at + 3])[0];
            assert!(
                !escaped.is_ascii_control() && !escaped.is_ascii_alphanumeric(),
                "{path:?}"
            );
            assert!(!b"-._~".contains(&escaped), "{path:?}");
        }
    }
    // The readers: as it stands, decoded, with parameters cut off before or after that; `/` and `\` both separate.
    for reader in [path.as_bytes().to_vec(), decoded(path)] {
        for segment in reader.split(|byte| matches!(byte, b'/' | b'\\')) {
            let name = segment
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default();
            assert!(!matches!(name, b"." | b".."), "{path:?} has a dot segment");
        }
    }
}

/// Where a file system would get to: its names, and whether the path ends as a folder's does.
fn walked(path: &str) -> (Vec<Vec<u8>>, bool) {
    let mut names = Vec::new();
    let mut is_folder = true;
    for segment in path.split('/') {
        let name = decoded(segment);
        is_folder = matches!(&name[..], b"" | b"." | b"..");
        match &name[..] {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            _ => names.push(name),
        }
    }
    (names, is_folder)
}

fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| Some(char::from(*bytes.get(at)?).to_digit(16)? as u8);
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}
