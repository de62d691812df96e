//! The checker of what the proxy wrote: it knows one form for everything and takes no other.
//!
//! It shares no line with the proxy or with the rig's lenient reader, on purpose: it is the second opinion.

/// A request as it stands in the bytes of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    /// The bytes end in the middle of it.
    pub(super) is_cut: bool,
}

/// Fields of one connection, which no upstream may be sent; `_` counts as `-`.
const HOP: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "upgrade",
    "http2-settings",
    "expect",
    "trailers",
];

/// Fields that have been decided on when the body comes.
const NOT_IN_TRAILERS: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "host",
    "trailer",
    "te",
    "authorization",
    "cookie",
    "x-forwarded-for",
    "connection",
];

/// All requests in the bytes that one connection has carried.
///
/// # Errors
/// What is not in the one form, and where.
pub(super) fn requests(mut bytes: &[u8]) -> Result<Vec<Written>, String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (request, rest) =
            request(bytes).map_err(|what| format!("{what}\nin {:?}", shown(bytes)))?;
        all.push(request);
        bytes = rest;
    }
    Ok(all)
}

fn request(bytes: &[u8]) -> Result<(Written, &[u8]), String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Err("a head without an end".to_owned());
    };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = line(lines.next().unwrap_or_default(), lines.clone().count() == 0)?;
    let count = lines.clone().count();
    let mut fields = Vec::new();
    for (at, raw) in lines.enumerate() {
        fields.push(field(line(raw, at + 1 == count)?)?);
    }
    let mut written = first_line(first)?;
    check_fields(&fields, is_handshake(&written.method, &fields))?;

    let all = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    };
    let rest = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => rest,
        ([length], []) => {
            let is_plain = length.bytes().all(|byte| byte.is_ascii_digit());
            let length: usize = length.parse().map_err(|_| format!("length {length:?}"))?;
            if !is_plain {
                return Err(format!("length {length:?}"));
            }
            let here = length.min(rest.len());
            written.is_cut = here < length;
            written.body = rest[..here].to_vec();
            &rest[here..]
        }
        ([], ["chunked"]) => chunks(rest, &mut written)?,
        (lengths, codings) => {
            return Err(format!("framed by {lengths:?} and {codings:?}"));
        }
    };
    Ok((written, rest))
}

/// A line without its end, in which there is no other CR and no control byte.
fn line(raw: &[u8], is_last: bool) -> Result<&str, String> {
    let line = match raw.strip_suffix(b"\r") {
        Some(line) => line,
        None if is_last => raw,
        None => return Err(format!("{:?} ends in LF alone", shown(raw))),
    };
    if line
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(format!("{:?} has a control byte", shown(line)));
    }
    // What is no UTF-8 is compared byte for byte elsewhere; here only its place matters.
    Ok(std::str::from_utf8(line).unwrap_or("x-raw: raw"))
}

/// `METHOD SP origin-form SP HTTP/1.1`.
fn first_line(first: &str) -> Result<Written, String> {
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        return Err(format!("request line {first:?}"));
    };
    let is_star = method == "OPTIONS" && target == "*";
    if !is_token(method) || !target.starts_with('/') && !is_star {
        return Err(format!("request line {first:?}"));
    }
    let path = target.split('?').next().unwrap_or_default();
    check_path(path)?;
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return Err(format!("target {target:?}"));
    }
    Ok(Written {
        method: method.to_owned(),
        target: target.to_owned(),
        ..Written::default()
    })
}

/// No dot segment, no empty one, nothing that becomes one of them for whoever decodes, and nothing encoded that need not be.
fn check_path(path: &str) -> Result<(), String> {
    let lower = path.to_ascii_lowercase();
    for broken in ["//", "%2e", "%00", "%0a", "%0d", "%09", "\\"] {
        if lower.contains(broken) {
            return Err(format!("path {path:?} has {broken:?}"));
        }
    }
    let decoded = lower
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace("%3b", ";");
    for segment in decoded.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        if matches!(name, "." | "..") {
            return Err(format!("path {path:?} hides a dot segment"));
        }
    }
    Ok(())
}

/// `name: value`, where the name is a token and the value has no white space around it.
fn field(line: &str) -> Result<(String, String), String> {
    if line.starts_with([' ', '\t']) {
        return Err(format!("folded line {line:?}"));
    }
    let Some((name, value)) = line.split_once(':') else {
        return Err(format!("no field {line:?}"));
    };
    let value = value.strip_prefix(' ').unwrap_or(value);
    if !is_token(name) || value.trim_matches([' ', '\t']) != value {
        return Err(format!("field {line:?}"));
    }
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

/// A WebSocket's handshake: the one request that has fields of its connection, just these, and no body.
fn is_handshake(method: &str, fields: &[(String, String)]) -> bool {
    let has = |name: &str, value: &str| {
        let mut lines = fields.iter().filter(|(known, _)| known == name);
        lines
            .next()
            .is_some_and(|(_, it)| it.eq_ignore_ascii_case(value))
            && lines.next().is_none()
    };
    let count = |name: &str| fields.iter().filter(|(known, _)| known == name).count();
    method == "GET"
        && has("connection", "upgrade")
        && has("upgrade", "websocket")
        && count("sec-websocket-key") == 1
        && count("content-length") + count("transfer-encoding") == 0
}

fn check_fields(fields: &[(String, String)], is_handshake: bool) -> Result<(), String> {
    let count = |name: &str| fields.iter().filter(|(known, _)| known == name).count();
    if count("host") != 1 {
        return Err(format!("{} Host fields", count("host")));
    }
    for single in [
        "x-forwarded-for",
        "forwarded",
        "x-forwarded-host",
        "x-request-id",
    ] {
        if count(single) != 1 && !(single == "x-forwarded-host" && count(single) == 0) {
            return Err(format!("{} {single} fields", count(single)));
        }
    }
    for (name, value) in fields {
        let plain = name.replace('_', "-");
        let is_upgrade = is_handshake && matches!(name.as_str(), "connection" | "upgrade");
        if HOP.contains(&plain.as_str()) && !is_upgrade {
            return Err(format!("{name}: {value} is for one connection alone"));
        }
        let decides = [
            "host",
            "content-length",
            "transfer-encoding",
            "te",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "via",
        ];
        let is_alias = plain != *name;
        if is_alias && (decides.contains(&plain.as_str()) || plain.starts_with("x-forwarded-")) {
            return Err(format!("{name}: {value} passes for another"));
        }
        if name == "te" && value != "trailers" {
            return Err(format!("te: {value}"));
        }
    }
    Ok(())
}

/// Chunks without extensions, and trailers that decide nothing.
fn chunks<'a>(mut rest: &'a [u8], written: &mut Written) -> Result<&'a [u8], String> {
    loop {
        let Some(end) = find(rest, b"\r\n") else {
            written.is_cut = true;
            return Ok(&[]);
        };
        let size = String::from_utf8_lossy(&rest[..end]).into_owned();
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("chunk size {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("chunk size {size:?}"))?;
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        if rest.len() < size + 2 {
            written.is_cut = true;
            return Ok(&[]);
        }
        written.body.extend_from_slice(&rest[..size]);
        rest = rest[size..]
            .strip_prefix(b"\r\n")
            .ok_or("a chunk without its end")?;
    }
    loop {
        let Some(end) = find(rest, b"\r\n") else {
            return Err("trailers without an end".to_owned());
        };
        let raw = line(&rest[..end], true)?;
        rest = &rest[end + 2..];
        if raw.is_empty() {
            return Ok(rest);
        }
        let (name, value) = field(raw)?;
        if NOT_IN_TRAILERS.contains(&name.replace('_', "-").as_str()) {
            return Err(format!("trailer {name}: {value}"));
        }
    }
}

fn is_token(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_known)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

/// A checker that takes everything proves nothing.
#[test]
fn the_checker_refuses_what_is_not_in_the_one_form() {
    let fields = "Host: a\r\nx-forwarded-for: 1\r\nforwarded: for=1\r\nx-request-id: 1\r\n";
    let good = format!("GET /a HTTP/1.1\r\n{fields}\r\n");
    assert_eq!(requests(good.as_bytes()).expect("it is canonical").len(), 1);
    let two = format!("{good}{good}");
    assert_eq!(
        requests(two.as_bytes()).expect("they are canonical").len(),
        2
    );
    let changed = [
        ("GET /a ", "GET /a/../b "),
        ("GET /a ", "GET //a "),
        ("GET /a ", "GET /%2e%2E/a "),
        ("GET /a ", "GET /..%2fa "),
        ("GET /a ", "GET /..;x/a "),
        ("GET /a ", "GET http://a/ "),
        ("GET /a ", "GET  /a "),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Host: a\r\n", ""),
        ("Host: a\r\n", "Host: a\r\nhost: b\r\n"),
        ("Host: a\r\n", "Host: a\n"),
        ("Host: a\r\n", "Host: a\r\n b\r\n"),
        ("Host: a\r\n", "Host : a\r\n"),
        ("Host: a\r\n", "Host: a\r\nx: a\rb\r\n"),
        ("Host: a\r\n", "Host: a\r\nx: a\0b\r\n"),
        ("Host: a\r\n", "Host: a\r\nconnection: close\r\n"),
        (
            "Host: a\r\n",
            "Host: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
        ),
        ("Host: a\r\n", "Host: a\r\nx_forwarded_for: 1\r\n"),
        (
            "Host: a\r\n",
            "Host: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n",
        ),
        ("Host: a\r\n", "Host: a\r\ncontent-length: +0\r\n"),
        (
            "Host: a\r\n",
            "Host: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            "Host: a\r\n",
            "Host: a\r\ntransfer-encoding: gzip, chunked\r\n",
        ),
        ("Host: a\r\n", "Host: a\r\nte: gzip\r\n"),
    ];
    for (from, to) in changed {
        let bad = good.replacen(from, to, 1);
        assert!(requests(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let head = format!("POST /a HTTP/1.1\r\n{fields}transfer-encoding: chunked\r\n\r\n");
    let body = |body: &str| requests(format!("{head}{body}").as_bytes());
    assert_eq!(
        body("1\r\na\r\n0\r\n\r\n").expect("canonical")[0].body,
        b"a"
    );
    for bad in [
        "1;x\r\na\r\n0\r\n\r\n",
        "1\na\n0\n\n",
        "0\r\nhost: a\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
    ] {
        let is_told = body(bad).map_or(true, |all| all[0].is_cut);
        assert!(is_told, "{bad:?}");
    }
}
