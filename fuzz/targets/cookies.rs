//! Cookie crumbs, a line each: HTTP/2's become one field with all pairs in order, HTTP/1.1's stay as they came.

#![no_main]

use http::{HeaderValue, Request, Version};
use libfuzzer_sys::fuzz_target;
use sightglass_fuzz::{STRANGER, sanitize};

fuzz_target!(|data: &[u8]| {
    let crumbs: Vec<HeaderValue> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .take(90) // a listener takes a hundred fields
        .collect();
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let request = Request::builder().version(version).header("host", "a.test");
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        for crumb in &crumbs {
            head.headers.append("cookie", crumb.clone());
        }
        let sent = sanitize(head, STRANGER).expect("cookies are nothing to refuse");
        let lines: Vec<&HeaderValue> = sent.headers.get_all("cookie").iter().collect();
        if version == Version::HTTP_11 {
            assert_eq!(lines, crumbs.iter().collect::<Vec<_>>());
            continue;
        }
        assert_eq!(lines.len(), usize::from(!crumbs.is_empty()), "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line.as_bytes().trim_ascii() == line.as_bytes()),
            "{lines:?}"
        );
        let pairs = |values: &[&HeaderValue]| -> Vec<Vec<u8>> {
            let text = values
                .iter()
                .map(|it| it.as_bytes())
                .collect::<Vec<_>>()
                .join(&b';');
            let pairs = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            pairs
                .filter(|pair| !pair.is_empty())
                .map(<[u8]>::to_vec)
                .collect()
        };
        assert_eq!(pairs(&lines), pairs(&crumbs.iter().collect::<Vec<_>>()));
    }
});
