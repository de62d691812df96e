//! Protocols that switch: WebSockets over HTTP/1.1 and HTTP/2 on both sides, and CONNECT. Each is one exchange, with its
//! bytes, its phases and its own end.

mod connect;
mod ends;
mod hygiene;
mod streams;
mod tls;
mod told;
mod websocket;

use std::net::TcpListener;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::rig::{Client, Config, Head, Http2Client, Http2Peer, Http2PeerStream, Http2Stream};

/// The example of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The fields of a handshake over HTTP/1.1.
const HANDSHAKE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-key", KEY),
    ("sec-websocket-version", "13"),
];

/// One end of a tunnel, whatever carries it.
trait End {
    fn say(&mut self, bytes: &[u8]);
    /// Exactly this many bytes.
    fn hear(&mut self, count: usize) -> Vec<u8>;
    /// Ends the sending side.
    fn end(&mut self);
    /// The other side has ended in order.
    fn hear_end(&mut self);
}

impl End for Client {
    fn say(&mut self, bytes: &[u8]) {
        self.send(bytes);
    }

    fn hear(&mut self, count: usize) -> Vec<u8> {
        self.read_bytes(count)
    }

    fn end(&mut self) {
        self.half_close();
    }

    fn hear_end(&mut self) {
        self.expect_close();
    }
}

/// A stream with what was read of it too early.
struct Ahead<S> {
    stream: S,
    ahead: Vec<u8>,
}

impl<S> Ahead<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    fn hear<B: AsRef<[u8]>>(
        &mut self,
        count: usize,
        mut read: impl FnMut(&mut S) -> Result<Option<B>, h2::Error>,
    ) -> Vec<u8> {
        while self.ahead.len() < count {
            let piece = read(&mut self.stream)
                .expect("the stream is whole")
                .expect("more is due");
            self.ahead.extend_from_slice(piece.as_ref());
        }
        self.ahead.drain(..count).collect()
    }
}

impl End for Ahead<Http2Stream<'_>> {
    fn say(&mut self, bytes: &[u8]) {
        self.stream
            .send_within_window(bytes)
            .expect("the stream is open");
    }

    fn hear(&mut self, count: usize) -> Vec<u8> {
        Ahead::hear(self, count, Http2Stream::read_piece)
    }

    fn end(&mut self) {
        self.stream.send_last("", &[]).expect("the stream is open");
    }

    fn hear_end(&mut self) {
        assert!(is_over(|| self.stream.read_piece()), "nothing more was due");
    }
}

impl End for Ahead<Http2PeerStream<'_>> {
    fn say(&mut self, bytes: &[u8]) {
        self.stream.send(bytes);
    }

    fn hear(&mut self, count: usize) -> Vec<u8> {
        Ahead::hear(self, count, Http2PeerStream::read_piece)
    }

    fn end(&mut self) {
        self.stream.end();
    }

    fn hear_end(&mut self) {
        assert!(is_over(|| self.stream.read_piece()), "nothing more was due");
    }
}

/// Whether nothing follows; the end may come as an empty piece.
fn is_over(mut read: impl FnMut() -> Result<Option<Bytes>, h2::Error>) -> bool {
    let piece = read().expect("no reset");
    piece.is_none_or(|piece| piece.is_empty() && read().expect("no reset").is_none())
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

fn config(listener: &TcpListener) -> Config {
    Config::new(
        listener
            .local_addr()
            .expect("a bound socket has an address"),
    )
}

/// Asks for a WebSocket over HTTP/1.1.
fn ask(client: &mut Client, path: &str) {
    client.request("GET", path, &HANDSHAKE, "");
}

/// Answers a handshake over HTTP/1.1 as an upstream that takes it; the answer is the handshake's head.
fn agree(peer: &mut Client) -> Head {
    let head = peer.read_head();
    let key = head.headers.get("sec-websocket-key").expect("a key");
    peer.send(switching(key));
    head
}

/// The answer to a handshake with this key.
fn switching(key: &str) -> String {
    let proof = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes()));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}

/// A WebSocket over HTTP/1.1 on both sides, agreed on.
fn agreed(proxy: std::net::SocketAddr, listener: &TcpListener) -> (Client, Client) {
    let mut client = Client::connect(proxy);
    ask(&mut client, "/chat");
    let mut peer = Client::accept(listener);
    agree(&mut peer);
    assert_eq!(client.read_head().word(1), "101");
    (client, peer)
}

/// A WebSocket over HTTP/2 towards the client, agreed on.
fn agreed_http2<'a>(
    client: &'a Http2Client,
    listener: &TcpListener,
) -> (Ahead<Http2Stream<'a>>, Client) {
    let mut stream = client.upgrade("websocket", "/chat", &[]).expect("a stream");
    let mut peer = Client::accept(listener);
    agree(&mut peer);
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    (Ahead::new(stream), peer)
}

/// Both ends say something, at once and in turn, and each hears it byte for byte; then both end.
fn talk(client: &mut dyn End, peer: &mut dyn End) {
    client.say(b"hello");
    assert_eq!(peer.hear(5), b"hello");
    peer.say(b"good day");
    assert_eq!(client.hear(8), b"good day");
    let piece: Vec<u8> = (0..40_000_u32).map(|at| (at % 251) as u8).collect();
    for _ in 0..8 {
        client.say(&piece);
        assert!(peer.hear(piece.len()) == piece, "upwards, byte for byte");
        peer.say(&piece);
        assert!(
            client.hear(piece.len()) == piece,
            "downwards, byte for byte"
        );
    }
    client.end();
    peer.hear_end();
    peer.say(b"bye");
    assert_eq!(client.hear(3), b"bye", "half closed is not closed");
    peer.end();
    client.hear_end();
}

/// What [`talk`] carries up and down.
const TALKED: (u64, u64) = (5 + 8 * 40_000, 8 + 8 * 40_000 + 3);

/// A peer that speaks HTTP/2 and takes tunnels.
fn http2_peer() -> (Http2Peer, Config) {
    let peer = Http2Peer::listen(true);
    let config = Config::new(peer.address()).upstream("protocol: http2");
    (peer, config)
}
