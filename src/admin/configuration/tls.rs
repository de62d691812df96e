//! The sections of TLS: the names of files, and nothing of what is in them.

use serde_json::{Value, json};

use crate::config::{
    CertificateFiles, Host, ListenerTls, TlsMinimum, UnknownServerName, UpstreamTls,
};

pub(super) fn listener(it: &ListenerTls) -> Value {
    let client_auth = it.client_auth.as_ref();
    json!({
        "certificates": it.certificates.iter().map(files).collect::<Value>(),
        "client_auth": client_auth.map(|it| json!({
            "ca": it.ca,
            "mode": if it.is_required { "required" } else { "optional" },
        })),
        "min_version": version(it.min_version),
        "unknown_server_name": match it.unknown_server_name {
            UnknownServerName::FirstCertificate => "first_certificate",
            UnknownServerName::Refuse => "refuse",
        },
        "hsts": it.hsts.map(super::time),
    })
}

pub(super) fn upstream(it: &UpstreamTls) -> Value {
    json!({
        "server_name": it.server_name.as_ref().map(name),
        "ca": it.ca,
        "certificate": it.certificate.as_ref().map(files),
        "insecure_skip_verify": it.insecure_skip_verify,
        "min_version": version(it.min_version),
    })
}

fn files(it: &CertificateFiles) -> Value {
    json!({"cert": it.cert, "key": it.key})
}

fn name(it: &Host) -> String {
    match it {
        Host::Ip(address) => address.to_string(),
        Host::Name(name) => name.to_string(),
    }
}

fn version(it: TlsMinimum) -> &'static str {
    match it {
        TlsMinimum::Tls12 => "1.2",
        TlsMinimum::Tls13 => "1.3",
    }
}
