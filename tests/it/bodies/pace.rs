//! Uploads to an upstream that takes them slowly but steadily: that is no pause, however long it goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::super::rig::{Client, Config, Http2Client, Proxy, reply};
use super::assert_counts;

const SIZE: usize = 16 << 20;

/// Takes a body of `SIZE` bytes at some 4 MiB a second, and then answers. Its own buffer is small, so that it is the
/// proxy which waits.
fn slow_taker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let socket = socket2::SockRef::from(&listener);
    socket.set_recv_buffer_size(64 << 10).expect("an option");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut piece = vec![0; 1 << 17];
        let (mut taken, mut head) = (0, 0);
        while taken < SIZE + head {
            let Ok(count @ 1..) = stream.read(&mut piece) else {
                return;
            };
            if head == 0 {
                let end = piece.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                head = end.expect("a whole head") + 4;
            }
            taken += count;
            std::thread::sleep(Duration::from_millis(count as u64 / (4 << 10)));
        }
        stream.write_all(&reply(200, &[], "done")).ok();
    });
    address
}

#[test]
fn an_upload_that_moves_is_not_cut_over_http1() {
    let proxy = Proxy::start(Config::new(slow_taker()).route("timeout: {head: 1500ms}"));
    let mut client = Client::connect(proxy.public());
    client.request("POST", "/", &[("content-length", &SIZE.to_string())], "");
    client.send_repeated([b'x'; 1 << 16], SIZE >> 16);
    assert_eq!(client.read_response().status, 200);
    assert_counts(&proxy, SIZE as u64, 4);
    proxy.finish();
}

#[test]
fn an_upload_that_moves_is_not_cut_over_http2() {
    let proxy = Proxy::start(Config::new(slow_taker()).route("timeout: {head: 1500ms}"));
    let client = Http2Client::connect(proxy.public());
    let length = SIZE.to_string();
    let headers = [("content-length", length.as_str())];
    let response = client.request("POST", "/", &headers, vec![b'x'; SIZE], &[]);
    assert_eq!(response.expect("an answer").status, 200);
    assert_counts(&proxy, SIZE as u64, 4);
    proxy.finish();
}
