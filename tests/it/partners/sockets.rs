//! WebSocket software that we did not write, on both sides of the proxy: Python's websockets and Node's ws.

use std::path::PathBuf;
use std::process::Command;

use super::super::rig::partner::{node_with, output, python_with};
use super::super::rig::{Authority, Config, Proxy};
use super::Served;

/// Sends back what it gets, compressed where the client offers that.
pub(super) const PYTHON_SERVER: &str = "import websockets.sync.server as ws
def echo(socket):
    for message in socket:
        socket.send(message)
with ws.serve(echo, '127.0.0.1', 0, subprotocols=['echo'], max_size=None) as server:
    print(server.socket.getsockname()[1])
    server.serve_forever()";

/// Texts, bytes, fragments, pings, a megabyte, and an end in good order.
/// With the file CA in its environment it talks over TLS.
const PYTHON_CLIENT: &str = "import sys, os, ssl, websockets.sync.client as ws
ca = os.environ.get('CA')
trust = ssl.create_default_context(cafile=ca) if ca else None
scheme = 'wss' if ca else 'ws'
socket = ws.connect(f'{scheme}://{sys.argv[1]}/chat', subprotocols=['echo'], max_size=None, ssl=trust)
print(socket.subprotocol, socket.protocol.extensions[0].name)
for message in ['hello', b'\\x00\\xff', '', os.urandom(1 << 20)]:
    socket.send(message)
    assert socket.recv() == message, len(message)
socket.send(['in ', 'pieces'])
assert socket.recv() == 'in pieces'
assert socket.ping().wait(10)
socket.close(1000, 'done')
print(socket.protocol.close_rcvd.code)";

const NODE_SERVER: &str = "const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true,
  handleProtocols: (offered) => offered.has('echo') ? 'echo' : false });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));";

/// With the file CA in its environment it talks over TLS.
const NODE_CLIENT: &str = "const WebSocket = require('ws'), crypto = require('crypto');
const ca = process.env.CA && require('fs').readFileSync(process.env.CA);
const socket = new WebSocket(`${ca ? 'wss' : 'ws'}://${process.argv[1]}/chat`, ['echo'], { ca });
const large = crypto.randomBytes(1 << 20), heard = [];
socket.on('open', () => { socket.send('hello'); socket.ping('p'); socket.send(large); });
socket.on('pong', (data) => heard.push('pong ' + data));
socket.on('message', (data, binary) => {
  heard.push(binary ? 'same ' + data.equals(large) : String(data));
  if (binary) socket.close(1000);
});
socket.on('close', (code) => console.log(socket.protocol, heard.sort().join(', '), code));
socket.on('error', (error) => { console.error(error); process.exit(1); });";

fn assert_told(proxy: Proxy, count: usize) {
    for line in proxy.wait_log_lines(count) {
        assert_eq!(line["outcome"], "served", "{line}");
        assert_eq!(line["tunnel"], "websocket", "{line}");
        assert!(line["bytes_in"].as_u64() > Some(1 << 20), "{line}");
        assert!(line["bytes_out"].as_u64() > Some(1 << 20), "{line}");
    }
    proxy.finish();
}

fn run_python(python: &PathBuf, proxy: &Proxy) {
    run_python_with(python, proxy, |_| ());
}

fn run_python_with(python: &PathBuf, proxy: &Proxy, prepare: impl FnOnce(&mut Command)) {
    let mut client = Command::new(python);
    client.args(["-c", PYTHON_CLIENT, &proxy.public().to_string()]);
    prepare(&mut client);
    assert_eq!(output(&mut client), "echo permessage-deflate\n1000\n");
}

fn run_node(node: &PathBuf, proxy: &Proxy) {
    run_node_with(node, proxy, |_| ());
}

fn run_node_with(node: &PathBuf, proxy: &Proxy, prepare: impl FnOnce(&mut Command)) {
    let mut client = Command::new(node);
    client.args(["-e", NODE_CLIENT, &proxy.public().to_string()]);
    prepare(&mut client);
    assert_eq!(output(&mut client), "echo hello, pong p, same true 1000\n");
}

#[test]
fn pythons_websockets_talk_through_it() {
    let Some(python) = python_with("websockets") else {
        return;
    };
    let served = Served::start(&python, PYTHON_SERVER);
    let proxy = Proxy::start(Config::new(served.address));
    run_python(&python, &proxy);
    run_python(&python, &proxy);
    assert_told(proxy, 2);
}

#[test]
fn nodes_websockets_talk_through_it() {
    let Some(node) = node_with(&["ws"]) else {
        return;
    };
    let served = Served::run(&node, &["-e", NODE_SERVER]);
    let proxy = Proxy::start(Config::new(served.address));
    run_node(&node, &proxy);
    run_node(&node, &proxy);
    assert_told(proxy, 2);
}

#[test]
fn each_talks_to_the_other_through_two_proxies_with_http2_between_them() {
    let (Some(python), Some(node)) = (python_with("websockets"), node_with(&["ws"])) else {
        return;
    };
    let served = [
        Served::start(&python, PYTHON_SERVER),
        Served::run(&node, &["-e", NODE_SERVER]),
    ];
    for served in &served {
        let inner = Proxy::start(Config::new(served.address));
        let outer = Proxy::start(Config::new(inner.public()).upstream("protocol: http2"));
        run_python(&python, &outer);
        run_node(&node, &outer);
        assert_told(outer, 2);
        assert_told(inner, 2);
    }
}

/// Neither client knows RFC 8441: over HTTP/2 they go between the two proxies.
#[test]
fn over_tls_all_the_way_they_talk_too() {
    let (Some(python), Some(node)) = (python_with("websockets"), node_with(&["ws"])) else {
        return;
    };
    let authority = Authority::new();
    let identity = authority.server(&["localhost", "127.0.0.1"]);
    let (ca, shown) = (authority.ca(), identity.yaml());
    let listener = format!("tls: {{certificates: [{shown}]}}");
    let served = Served::start(&python, PYTHON_SERVER);
    let inner = Proxy::start(Config::new(served.address).listener(&listener));
    let outer = Proxy::start(
        Config::new(inner.public())
            .listener(&listener)
            .upstream("protocol: http2")
            .upstream(&format!("tls: {{ca: \"{}\"}}", ca.display())),
    );
    let trust = |client: &mut Command| {
        client.env("CA", &ca);
    };
    run_python_with(&python, &outer, trust);
    run_node_with(&node, &outer, trust);
    for (proxy, protocol) in [(&outer, "HTTP/1.1"), (&inner, "HTTP/2")] {
        for line in proxy.wait_log_lines(2) {
            assert_eq!(
                (&line["protocol"], &line["tls"]),
                (&protocol.into(), &"1.3".into())
            );
        }
    }
    assert_told(outer, 2);
    assert_told(inner, 2);
}
