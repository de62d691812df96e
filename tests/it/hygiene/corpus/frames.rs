//! HTTP/2 in raw frames: h2's own client would refuse to send most of what is sent here.

use std::net::SocketAddr;

use super::super::super::rig::Client;
use super::case::{Frame, Said};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One HTTP/2 connection.
pub(super) struct Frames {
    client: Client,
}

// === impl Frames ===

impl Frames {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let mut client = Client::connect(address);
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
        Self { client }
    }

    /// Sends frames of one stream in one piece, so that they are read together.
    pub(super) fn send(&mut self, stream: u8, frames: &[Frame]) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|frame| written(stream, frame))
            .collect();
        // A connection that has been ended takes no more; the answer tells.
        let _ = self.client.try_send(bytes);
    }

    /// The answer on a stream, with its body.
    pub(super) fn read_answer(&mut self, stream: u8) -> (Said, Vec<u8>) {
        let (mut said, mut body) = (None, Vec::new());
        loop {
            let head = self.client.read_bytes(9);
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let payload = self.client.read_bytes(length);
            let is_end = head[4] & END_STREAM != 0;
            match (head[3], head[8] == stream) {
                (GOAWAY, _) if payload[4..8] != [0; 4] => return (Said::Goaway, body),
                (RST_STREAM, true) => {
                    // With an answer before it, it only says that nobody reads on (RFC 9113 §8.1).
                    return (said.unwrap_or(Said::Reset), body);
                }
                (HEADERS, true) => {
                    said = said.or(Some(Said::Status(status(&payload))));
                    if is_end {
                        break;
                    }
                }
                (DATA, true) => {
                    body.extend(payload);
                    if is_end {
                        break;
                    }
                }
                _ => {}
            }
        }
        (said.expect("data follows a head"), body)
    }
}

fn written(stream: u8, frame: &Frame) -> Vec<u8> {
    let (kind, is_end, payload) = match frame {
        Frame::Headers { fields, is_end } => {
            let mut block = Vec::new();
            for (name, value) in fields {
                block.push(0); // a literal that enters no table (RFC 7541 §6.2.2)
                for text in [name, value] {
                    write_length(&mut block, text.len());
                    block.extend_from_slice(text);
                }
            }
            (HEADERS, is_end, block)
        }
        Frame::Data { bytes, is_end } => (DATA, is_end, bytes.clone()),
    };
    let end = if *is_end { END_STREAM } else { 0 };
    let flags = if kind == HEADERS {
        END_HEADERS | end
    } else {
        end
    };
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&head[..], &payload].concat()
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1); no Huffman coding.
fn write_length(block: &mut Vec<u8>, length: usize) {
    let low = |length: usize| u8::try_from(length).expect("it fits");
    if length < 127 {
        block.push(low(length));
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(low(rest % 128 + 128));
        rest /= 128;
    }
    block.push(low(rest));
}

/// The `:status` that a field block begins with (RFC 9113 §8.3): of the static table, or a literal of three digits.
fn status(block: &[u8]) -> u16 {
    let known = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => known[usize::from(index - 0x88)],
        [0x08 | 0x48, length, rest @ ..] => {
            let text = &rest[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 {
                String::from_utf8_lossy(text).into_owned()
            } else {
                huffman_digits(text)
            };
            digits.parse().expect("a status")
        }
        _ => panic!("no status in {block:02x?}"),
    }
}

/// Three digits in the code of RFC 7541 appendix B: 0 to 2 take five bits, the others six.
fn huffman_digits(text: &[u8]) -> String {
    let bit = |at: usize| text.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1);
    let (mut at, mut digits) = (0, String::new());
    let take = |at: usize, count: usize| {
        (at..at + count).fold(0, |sum, at| sum << 1 | bit(at).unwrap_or(1))
    };
    while digits.len() < 3 {
        let (digit, length) = match take(at, 5) {
            short @ 0..=2 => (short, 5),
            _ => (take(at, 6) - 0b01_1001 + 3, 6),
        };
        digits.push(char::from(b'0' + digit));
        at += length;
    }
    digits
}
