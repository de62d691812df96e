//! An HTTP/2 upstream that the test plays itself, stream by stream: for tunnels, where nobody can say beforehand what
//! comes when.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};

use super::super::PATIENCE;
use super::client::within;
use super::{Reactor, header_map, send_all};

/// Takes connections on a free port, and hands their streams to the test.
pub(crate) struct Http2Peer {
    address: SocketAddr,
    reactor: Reactor,
    streams: Receiver<Accepted>,
}

/// Streams that may wait for the test.
const STREAMS: usize = 64;

type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// One stream.
pub(crate) struct Http2PeerStream<'a> {
    peer: &'a Http2Peer,
    pub(crate) head: http::request::Parts,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
}

// === impl Http2Peer ===

impl Http2Peer {
    /// `takes_tunnels`: whether its settings allow extended CONNECT (RFC 8441 §3).
    pub(crate) fn listen(takes_tunnels: bool) -> Self {
        let reactor = Reactor::start();
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        socket
            .set_nonblocking(true)
            .expect("a socket takes options");
        let (sender, streams) = sync_channel(STREAMS);
        reactor.handle.spawn(async move {
            let socket = tokio::net::TcpListener::from_std(socket).expect("a listening socket");
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(serve(stream, takes_tunnels, sender.clone()));
            }
        });
        Self {
            address,
            reactor,
            streams,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next stream.
    pub(crate) fn accept(&self) -> Http2PeerStream<'_> {
        let (request, respond) = self
            .streams
            .recv_timeout(PATIENCE)
            .expect("a stream is opened");
        let (head, body) = request.into_parts();
        Http2PeerStream {
            peer: self,
            head,
            body,
            respond,
            send: None,
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, takes_tunnels: bool, streams: SyncSender<Accepted>) {
    let mut builder = h2::server::Builder::new();
    if takes_tunnels {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    while let Some(Ok(accepted)) = connection.accept().await {
        if streams.try_send(accepted).is_err() {
            break;
        }
    }
}

// === impl Http2PeerStream ===

impl Http2PeerStream<'_> {
    /// Sends the response head, and leaves the stream open.
    pub(crate) fn respond(&mut self, status: u16, headers: &[(&str, &str)]) {
        let mut head = Response::new(());
        *head.status_mut() = status.try_into().expect("the test gives a valid status");
        *head.headers_mut() = header_map(headers);
        let sent = self.respond.send_response(head, false);
        self.send = Some(sent.expect("the client takes a response"));
    }

    /// Sends a piece, as the window takes it.
    pub(crate) fn send(&mut self, piece: impl AsRef<[u8]>) {
        let piece = Bytes::copy_from_slice(piece.as_ref());
        let send = self.send.as_mut().expect("the head is sent first");
        let sent = send_all(send, piece, false);
        within(&self.peer.reactor, "room in a stream's window", sent).expect("the stream is open");
    }

    /// Ends the sending side.
    pub(crate) fn end(&mut self) {
        let send = self.send.as_mut().expect("the head is sent first");
        send.send_data(Bytes::new(), true)
            .expect("the stream is open");
    }

    /// Resets the stream.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.send
            .as_mut()
            .expect("the head is sent first")
            .send_reset(reason);
    }

    /// Reads the next piece; none at the end.
    pub(crate) fn read_piece(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let piece =
            within(&self.peer.reactor, "a piece of a stream", self.body.data()).transpose()?;
        if let Some(piece) = &piece {
            self.body.flow_control().release_capacity(piece.len())?;
        }
        Ok(piece)
    }
}
