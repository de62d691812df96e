//! A TLS client for `benches/compare`: handshakes by the thousand, or connections that are held open.
//!
//! `tls_load full|resumed|hold PORT CERTIFICATE COUNT PARALLEL` opens COUNT connections to 127.0.0.1, PARALLEL at a time,
//! TLS 1.3 with X25519 (what all of the peers speak), and asks `GET /small` once on each. `full` never offers a session;
//! `resumed` always does, and a connection that was not resumed is an error: wrk and h2load cannot tell either. `hold`
//! keeps the connections until its input ends. It says one line on stderr, `N connections in S s`, and fails if any one failed.

use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type AnyError = Box<dyn Error>;

/// What is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Full,
    Resumed,
    Hold,
}

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, port, certificate, count, parallel] = arguments.as_slice() else {
        return Err("usage: tls_load full|resumed|hold PORT CERTIFICATE COUNT PARALLEL".into());
    };
    let mode = match mode.as_str() {
        "full" => Mode::Full,
        "resumed" => Mode::Resumed,
        "hold" => Mode::Hold,
        other => return Err(format!("{other} is not full, resumed or hold").into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (port, count, parallel) = (port.parse()?, count.parse()?, parallel.parse()?);
    let work = run(mode, port, certificate, count, parallel);
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

async fn run(
    mode: Mode,
    port: u16,
    certificate: &str,
    count: usize,
    parallel: usize,
) -> Result<(), AnyError> {
    let mut connectors = Vec::new();
    for _ in 0..parallel {
        let connector = connector(mode, certificate)?;
        if mode == Mode::Resumed {
            // A ticket is used once: each task has its own to begin with, and every connection brings another.
            ask(&mut connect(&connector, port).await?, true).await?;
        }
        connectors.push(connector);
    }
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for (index, connector) in connectors.into_iter().enumerate() {
        let own = count / parallel + usize::from(index < count % parallel);
        tasks.push(tokio::task::spawn_local(async move {
            let mut held = Vec::new();
            for _ in 0..own {
                let mut stream = connect(&connector, port).await.map_err(|e| e.to_string())?;
                let kind = stream.get_ref().1.handshake_kind();
                let is_resumed = kind == Some(HandshakeKind::Resumed);
                if is_resumed != (mode == Mode::Resumed) {
                    return Err(format!("resumed: {is_resumed}"));
                }
                ask(&mut stream, mode != Mode::Hold)
                    .await
                    .map_err(|e| e.to_string())?;
                if mode == Mode::Hold {
                    held.push(stream);
                    // Idle connections come one after the other, not all in the same second.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Ok(held)
        }));
    }
    let mut held = Vec::new();
    for task in tasks {
        held.push(task.await??);
    }
    eprintln!(
        "{count} connections in {:.3} s",
        begun.elapsed().as_secs_f64()
    );
    if mode == Mode::Hold {
        std::io::stdin().read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn connector(mode: Mode, certificate: &str) -> Result<TlsConnector, AnyError> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = match mode {
        Mode::Resumed => Resumption::in_memory_sessions(1024),
        Mode::Full | Mode::Hold => Resumption::disabled(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn connect(connector: &TlsConnector, port: u16) -> Result<TlsStream<TcpStream>, AnyError> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(connector.connect(name, stream).await?)
}

async fn ask(stream: &mut TlsStream<TcpStream>, is_last: bool) -> Result<(), AnyError> {
    let close = if is_last { "connection: close\r\n" } else { "" };
    let request = format!("GET /small HTTP/1.1\r\nhost: localhost\r\n{close}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    if is_last {
        // Some close without saying goodbye; what counts is that the answer came.
        let _ = stream.read_to_end(&mut answer).await;
    } else {
        let mut part = [0; 4096];
        while !answer.ends_with(b"x\n") {
            let count = stream.read(&mut part).await?;
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&part[..count]);
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(format!("answered {:?}", String::from_utf8_lossy(&answer)).into())
    }
}
