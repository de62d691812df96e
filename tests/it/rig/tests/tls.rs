//! A way and a door, face to face.

use super::super::{
    Authority, Http2Client, Http2Upstream, ONLY_TLS12, TlsCaller, TlsServer, Upstream, get,
};

#[test]
fn a_way_and_a_door_carry_both_protocols_and_tell_what_was_agreed_on() {
    let (authority, one) = (Authority::new(), Upstream::ok("one"));
    let two = Http2Upstream::ok("two");
    let server = authority.server(&["shop.test"]);
    let client = authority.client("a client", &["spiffe://test/a"]);
    let door = TlsServer::new(&server)
        .alpn(&["h2", "http/1.1"])
        .require_client(&authority)
        .before_each(one.address(), two.address());

    let caller = TlsCaller::new(&authority, "shop.test").identity(&client);
    let way = caller.clone().versions(ONLY_TLS12).to(door.address());
    assert_eq!(get(way.address(), "/").text(), "one");
    assert_eq!(way.last().version, "1.2");
    assert_eq!(way.last().peer, [server.der().to_vec()]);
    let seen = door.handshakes().pop().and_then(Result::ok);
    let seen = seen.expect("the door saw a handshake");
    assert_eq!(seen.server_name.as_deref(), Some("shop.test"));
    assert_eq!(seen.peer, [client.der().to_vec()]);

    let way = caller.alpn(&["h2"]).to(door.address());
    assert_eq!(Http2Client::connect(way.address()).get("/").text(), "two");
    assert_eq!(way.last().alpn.as_deref(), Some("h2"));
    assert_eq!(way.last().group.as_deref(), Some("X25519MLKEM768"));

    let stranger = TlsCaller::new(&Authority::new(), "shop.test").to(door.address());
    super::super::Client::connect(stranger.address()).expect_close();
    assert!(stranger.handshakes()[0].is_err());
}
