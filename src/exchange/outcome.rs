//! How an exchange or an attempt ended: one word, the same in every signal.
//!
//! The words are RFC 9209 §2.3's where one fits, ours where none does. A word carries everything that follows from it
//! alone: whose side it is on, which status the proxy answers with, which gRPC status says the same.

use std::fmt;

/// How an exchange or an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// The upstream's answer went through whole, whatever its status.
    Served,
    /// The client went away before the end.
    ClientClosed,
    /// The client's request could not be taken: malformed, too large, too slow.
    HttpRequestError,
    /// The request is not allowed.
    HttpRequestDenied,
    /// A rate limit refused the request.
    RateLimited,
    /// A concurrency or circuit limit refused the request.
    Overloaded,
    /// No route takes the request.
    DestinationNotFound,
    /// No endpoint can take the request.
    DestinationUnavailable,
    /// The upstream's name could not be resolved.
    DnsError,
    /// The upstream refused the connection.
    ConnectionRefused,
    /// The connection to the upstream was lost.
    ConnectionTerminated,
    /// The connection to the upstream took too long.
    ConnectionTimeout,
    /// No further connection to the upstream is allowed.
    ConnectionLimitReached,
    /// The upstream paused too long in its response.
    ConnectionReadTimeout,
    /// The client paused too long in taking the response.
    ConnectionWriteTimeout,
    /// The upstream's address cannot be reached.
    DestinationIpUnroutable,
    /// The upstream's certificate cannot be believed.
    TlsCertificateError,
    /// The TLS handshake with the upstream failed, or there was none.
    TlsProtocolError,
    /// The upstream ended the TLS handshake and said why.
    TlsAlertReceived,
    /// The upstream's response is not HTTP.
    HttpProtocolError,
    /// The upstream's response ended early.
    HttpResponseIncomplete,
    /// The upstream's response head did not come in time, or the whole took too long.
    HttpResponseTimeout,
    /// The upstream's response head is too large.
    HttpResponseHeaderSectionSize,
    /// The request has come through this proxy before.
    ProxyLoopDetected,
    /// The proxy itself is at fault.
    ProxyInternalError,
}

/// Who made an exchange end as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client.
    Client,
    /// This proxy, or its configuration.
    Proxy,
    /// The upstream, or the way to it.
    Upstream,
}

// === impl Outcome ===

impl Outcome {
    /// All words.
    pub const ALL: [Self; 25] = [
        Self::Served,
        Self::ClientClosed,
        Self::HttpRequestError,
        Self::HttpRequestDenied,
        Self::RateLimited,
        Self::Overloaded,
        Self::DestinationNotFound,
        Self::DestinationUnavailable,
        Self::DnsError,
        Self::ConnectionRefused,
        Self::ConnectionTerminated,
        Self::ConnectionTimeout,
        Self::ConnectionLimitReached,
        Self::ConnectionReadTimeout,
        Self::ConnectionWriteTimeout,
        Self::DestinationIpUnroutable,
        Self::TlsCertificateError,
        Self::TlsProtocolError,
        Self::TlsAlertReceived,
        Self::HttpProtocolError,
        Self::HttpResponseIncomplete,
        Self::HttpResponseTimeout,
        Self::HttpResponseHeaderSectionSize,
        Self::ProxyLoopDetected,
        Self::ProxyInternalError,
    ];

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::ClientClosed => "client_closed",
            Self::HttpRequestError => "http_request_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::DestinationNotFound => "destination_not_found",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::DnsError => "dns_error",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::ConnectionReadTimeout => "connection_read_timeout",
            Self::ConnectionWriteTimeout => "connection_write_timeout",
            Self::DestinationIpUnroutable => "destination_ip_unroutable",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::TlsAlertReceived => "tls_alert_received",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpResponseHeaderSectionSize => "http_response_header_section_size",
            Self::ProxyLoopDetected => "proxy_loop_detected",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }

    /// Who made it end so; `None` for [`Outcome::Served`].
    #[must_use]
    pub fn side(self) -> Option<Side> {
        match self {
            Self::Served => None,
            Self::ClientClosed
            | Self::HttpRequestError
            | Self::HttpRequestDenied
            | Self::RateLimited
            | Self::ConnectionWriteTimeout => Some(Side::Client),
            Self::Overloaded
            | Self::DestinationNotFound
            | Self::ConnectionLimitReached
            | Self::ProxyLoopDetected
            | Self::ProxyInternalError => Some(Side::Proxy),
            Self::DestinationUnavailable
            | Self::DnsError
            | Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::ConnectionTimeout
            | Self::ConnectionReadTimeout
            | Self::DestinationIpUnroutable
            | Self::TlsCertificateError
            | Self::TlsProtocolError
            | Self::TlsAlertReceived
            | Self::HttpProtocolError
            | Self::HttpResponseIncomplete
            | Self::HttpResponseTimeout
            | Self::HttpResponseHeaderSectionSize => Some(Side::Upstream),
        }
    }

    /// The status with which the proxy answers where it answers itself; 499 is only logged.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Served => 200,
            Self::ClientClosed => 499,
            Self::HttpRequestError => 400,
            Self::HttpRequestDenied => 403,
            Self::RateLimited => 429,
            Self::Overloaded | Self::DestinationUnavailable | Self::ConnectionLimitReached => 503,
            Self::DestinationNotFound => 404,
            Self::ConnectionTimeout
            | Self::ConnectionReadTimeout
            | Self::ConnectionWriteTimeout
            | Self::HttpResponseTimeout => 504,
            Self::DnsError
            | Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::DestinationIpUnroutable
            | Self::TlsCertificateError
            | Self::TlsProtocolError
            | Self::TlsAlertReceived
            | Self::HttpProtocolError
            | Self::HttpResponseIncomplete
            | Self::HttpResponseHeaderSectionSize
            | Self::ProxyLoopDetected => 502,
            Self::ProxyInternalError => 500,
        }
    }

    /// The registered error token of `Proxy-Status`, and our own word for its `details` where they differ.
    #[must_use]
    pub fn proxy_status(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::RateLimited | Self::Overloaded => ("http_request_denied", Some(self.as_str())),
            Self::ClientClosed => ("http_request_error", Some(self.as_str())),
            word => (word.as_str(), None),
        }
    }

    /// The gRPC status that says the same.
    #[must_use]
    pub fn grpc_status(self) -> u8 {
        match self {
            Self::Served => 0,
            Self::ClientClosed => 1,                   // CANCELLED
            Self::HttpRequestError => 3,               // INVALID_ARGUMENT
            Self::HttpRequestDenied => 7,              // PERMISSION_DENIED
            Self::RateLimited | Self::Overloaded => 8, // RESOURCE_EXHAUSTED
            Self::DestinationNotFound => 12,           // UNIMPLEMENTED
            Self::ConnectionReadTimeout
            | Self::ConnectionWriteTimeout
            | Self::HttpResponseTimeout => 4, // DEADLINE_EXCEEDED
            Self::ProxyLoopDetected | Self::ProxyInternalError => 13, // INTERNAL
            _ => 14,                                   // UNAVAILABLE
        }
    }

    /// The title of a problem document.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Served => "Served",
            Self::ClientClosed => "The client closed the connection",
            Self::HttpRequestError => "The request cannot be taken",
            Self::HttpRequestDenied => "The request is not allowed",
            Self::RateLimited => "Too many requests",
            Self::Overloaded => "The service is at its limit",
            Self::DestinationNotFound => "No route takes this request",
            Self::DestinationUnavailable => "No endpoint can take this request",
            Self::DnsError => "The service's name cannot be resolved",
            Self::ConnectionRefused => "The service refused the connection",
            Self::ConnectionTerminated => "The service closed the connection",
            Self::ConnectionTimeout => "The service could not be reached in time",
            Self::ConnectionLimitReached => "No further connection to the service is allowed",
            Self::ConnectionReadTimeout => "The service paused too long",
            Self::ConnectionWriteTimeout => "The client paused too long",
            Self::DestinationIpUnroutable => "The service cannot be reached",
            Self::TlsCertificateError => "The service's certificate cannot be verified",
            Self::TlsProtocolError => "No encrypted connection to the service could be made",
            Self::TlsAlertReceived => "The service refused the encrypted connection",
            Self::HttpProtocolError => "The service's answer is not HTTP",
            Self::HttpResponseIncomplete => "The service's answer is incomplete",
            Self::HttpResponseTimeout => "The service did not answer in time",
            Self::HttpResponseHeaderSectionSize => "The service's answer is too large",
            Self::ProxyLoopDetected => "The request goes in a circle",
            Self::ProxyInternalError => "The proxy failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Side ===

impl Side {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
        }
    }
}
