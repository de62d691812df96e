//! Headers as balancers write them, as nobody should, and anything at all.

use proptest::prelude::*;

use super::*;

fn binary_header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block");
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(block);
    bytes
}

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
    }
}

#[test]
fn reads_both_versions_and_both_families() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 1, 187];
    let mut v6 = [0; 36];
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 7, 8);
    let cases = [
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 443\r\n".to_vec(),
            proxied("192.0.2.1:12345", "192.0.2.2:443"),
        ),
        (
            b"PROXY TCP6 ::1 ::2 7 8\r\n".to_vec(),
            proxied("[::1]:7", "[::2]:8"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Header::Local),
        (b"PROXY UNKNOWN ffff::1 x y\r\n".to_vec(), Header::Local),
        (
            binary_header(0x21, 0x11, &v4),
            proxied("192.0.2.1:12345", "192.0.2.2:443"),
        ),
        (
            binary_header(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()),
            proxied("192.0.2.1:12345", "192.0.2.2:443"),
        ),
        (
            binary_header(0x21, 0x21, &v6),
            proxied("[::1]:7", "[::2]:8"),
        ),
        (binary_header(0x20, 0x00, &[]), Header::Local),
        (binary_header(0x20, 0x11, &v4), Header::Local),
        (binary_header(0x21, 0x00, &[1, 2, 3]), Header::Local),
        (binary_header(0x21, 0x31, &[0; 216]), Header::Local),
    ];
    for (bytes, want) in cases {
        let said = parse(&bytes);
        assert_eq!(said, Ok(Some((want, bytes.len()))), "{bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{:?}", &bytes[..end]);
        }
        let longer = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&longer), Ok(Some((want, bytes.len()))), "{longer:?}");
    }
}

#[test]
fn refuses_what_is_no_header() {
    let lines: [&[u8]; 15] = [
        b"GET / HTTP/1.1\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY \r\n",
        b"\r\n\r\n\0\r\nQUIX\n\x21\x11",
    ];
    for bytes in lines {
        assert!(
            parse(bytes).is_err(),
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat();
    assert!(parse(&long).is_err(), "107 bytes without an end");
    for (command, family, block) in [
        (0x11, 0x11, &[0; 12][..]),
        (0x22, 0x11, &[0; 12]),
        (0x21, 0x41, &[0; 216]),
        (0x21, 0x11, &[0; 11]),
        (0x21, 0x21, &[0; 35]),
        (0x21, 0x31, &[0; 215]),
    ] {
        let bytes = binary_header(command, family, block);
        assert!(parse(&bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn anything_is_refused_or_read_the_same_however_it_is_cut(
        start in prop_oneof![
            Just(Vec::new()),
            Just(SIGNATURE.to_vec()),
            Just(b"PROXY TCP4 ".to_vec()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = [start, rest].concat();
        let whole = parse(&bytes);
        if let Ok(Some((_, used))) = whole {
            prop_assert!(used <= bytes.len());
            prop_assert_eq!(parse(&bytes[..used]), whole);
        }
        let part = parse(&bytes[..at.index(bytes.len() + 1)]);
        // What a part says, the whole says too.
        if part != Ok(None) {
            prop_assert_eq!(part, whole);
        }
    }

    #[test]
    fn what_was_written_is_read(
        source in any::<[u8; 4]>(), destination in any::<[u8; 4]>(), from in any::<u16>(), to in any::<u16>(),
    ) {
        let source = SocketAddr::from((source, from));
        let destination = SocketAddr::from((destination, to));
        let line = format!("PROXY TCP4 {} {} {from} {to}\r\n", source.ip(), destination.ip());
        let want = Header::Proxied { source, destination };
        prop_assert_eq!(parse(line.as_bytes()), Ok(Some((want, line.len()))));
    }

    #[test]
    fn nothing_after_the_header_is_ever_asked_for(rest in proptest::collection::vec(any::<u8>(), 0..80)) {
        let header = binary_header(0x21, 0x11, &[&[0; 12][..], &rest].concat());
        for end in 0..header.len() {
            match more(&header[..end]) {
                More::Surely(count) => prop_assert!(count > 0 && end + count <= header.len()),
                More::ToLineEnd(_) => prop_assert!(false, "it is no line"),
            }
        }
    }
}
