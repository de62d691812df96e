//! What went wrong with TLS towards an upstream, in our words.

use std::io;

use rustls::{AlertDescription, Error};

use super::connect::failed;
use super::stream::tls_error;
use crate::exchange::{Fault, Outcome};
use crate::tls::client::certificate_fault;

/// Why a handshake failed. Nothing of a request was sent.
pub(super) fn handshake_fault(error: &io::Error) -> Fault {
    let Some(error) = tls_error(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => failed(
                Outcome::TlsProtocolError,
                "the upstream closed the connection in the TLS handshake",
            ),
            _ => failed(
                Outcome::ConnectionTerminated,
                "the connection was lost in the TLS handshake",
            ),
        };
    };
    let protocol = |detail| failed(Outcome::TlsProtocolError, detail);
    match error {
        Error::InvalidCertificate(error) => {
            failed(Outcome::TlsCertificateError, certificate_fault(error))
        }
        Error::NoCertificatesPresented => failed(
            Outcome::TlsCertificateError,
            "the upstream shows no certificate",
        ),
        Error::AlertReceived(alert) => alert_fault(*alert),
        Error::InvalidMessage(_) => protocol("the upstream does not speak TLS"),
        Error::PeerIncompatible(_) => {
            protocol("the upstream speaks no version or cipher of TLS that is spoken here")
        }
        _ => protocol("the upstream broke the TLS handshake"),
    }
}

/// Why the upstream has ended TLS, in or after the handshake: it never looked at a request.
pub(super) fn alert_fault(alert: AlertDescription) -> Fault {
    let detail = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the upstream wants a client certificate"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => "the upstream does not take our client certificate",
        AlertDescription::ProtocolVersion => {
            "the upstream speaks no version of TLS that is spoken here"
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the upstream found no cipher, or wants a client certificate"
        }
        AlertDescription::UnrecognisedName => {
            "the upstream does not know the name that was asked for"
        }
        AlertDescription::NoApplicationProtocol => {
            "the upstream speaks none of the protocols that were offered"
        }
        _ => "the upstream ended TLS with an alert",
    };
    failed(Outcome::TlsAlertReceived, detail)
}

/// Whether an alert is about who we are: then it comes instead of an answer where the handshake was over for us.
pub(super) fn is_refusal(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure
    )
}
