//! Any forwarding fields: they are read without surprise, and whatever stands in them, the peer that we add is the one that
//! the next proxy reads.
//!
//! The first 16 bytes are the peer's address, the rest is fields.

#![no_main]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, Request, Version};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use sightglass::exchange::{Text, Words};
use sightglass::proxy::forwarded::{Forwarded, address};
use sightglass_fuzz::{End, exchange, fields, listener, run};

fuzz_target!(|data: &[u8]| {
    let Some((octets, rest)) = data.split_first_chunk::<16>() else {
        return;
    };
    let peer = IpAddr::V6(Ipv6Addr::from(*octets)).to_canonical();
    let came = fields(rest);

    // Reading: the client is the peer, or somebody whom the fields name.
    let everybody = ["0.0.0.0/0", "::/0"].map(|it| it.parse::<IpNet>().expect("a network"));
    for trusted in [&everybody[..], &everybody[..1], &[]] {
        let client = address::client(&came, peer, trusted);
        assert!(
            client == peer || is_named(&came, client),
            "{client} is nowhere in {came:?}"
        );
    }

    // Writing: the next hop, which trusts us alone, reads the peer out of either field.
    let exchange = exchange(SocketAddr::new(peer, 4000), Version::HTTP_11);
    exchange.note_words(Text::new(&Words {
        host: "[::1]:8080",
        ..Words::default()
    }));
    let end = End::default();
    let layer = Forwarded::new(end.clone(), &[listener()], "sightglass-1");
    let (mut head, ()) = Request::new(()).into_parts();
    head.headers = came;
    let mut sent = run(layer, end, exchange, head)
        .expect("it refuses nothing")
        .headers;
    let us = IpAddr::from([192, 0, 2, 77]);
    let trusted = [IpNet::from(us)];
    if peer != us {
        assert_eq!(address::client(&sent, us, &trusted), peer, "{sent:?}");
        sent.remove("x-forwarded-for");
        assert_eq!(address::client(&sent, us, &trusted), peer, "{sent:?}");
    }
    for name in ["x-forwarded-for", "forwarded"] {
        assert!(sent.get_all(name).iter().count() <= 1, "{name}: {sent:?}");
    }
});

/// Whether some word of the fields is this address.
fn is_named(headers: &HeaderMap, address: IpAddr) -> bool {
    ["x-forwarded-for", "forwarded"].iter().any(|name| {
        headers.get_all(*name).iter().any(|line| {
            let text = String::from_utf8_lossy(line.as_bytes());
            let is_edge = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':'));
            text.split(is_edge).any(|word| {
                // With a port behind it, which an address in brackets or of version 4 may have.
                let bare = word.rsplit_once(':').map_or(word, |(bare, _)| bare);
                [word, bare].iter().any(|word| {
                    word.parse::<IpAddr>()
                        .is_ok_and(|it| it.to_canonical() == address)
                })
            })
        })
    })
}
