//! Who a client is by its certificate, in words that are safe to log and to send on.
//!
//! Everything here was signed by a root that the listener believes, and is still text of somebody else: what is not plain
//! ASCII is written as an escape (RFC 4514 §2.4; in names as `%XX`), so that nothing can end a line or a field.

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Who a client is by its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The distinguished name, RFC 4514: `CN=billing,O=Shop`. Visible ASCII.
    pub name: String,
    /// The DNS names among its alternative names. Visible ASCII.
    pub dns: Vec<String>,
    /// The URIs among them, such as SPIFFE ids. Visible ASCII.
    pub uris: Vec<String>,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// The SHA-256 of the certificate in lower-case hexadecimal digits.
    pub sha256: String,
}

/// The short names of attribute types (RFC 4514 §3), and the mail address, which stands in many certificates.
const SHORT: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.5", "serialNumber"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// Who the holder of this certificate is; `None` where it is none.
#[must_use]
pub fn subject(der: &[u8]) -> Option<Subject> {
    let (_, parsed) = parse_x509_certificate(der).ok()?;
    let mut subject = Subject {
        name: distinguished(parsed.subject()),
        not_after: parsed.validity().not_after.timestamp(),
        sha256: sha256(der),
        ..Subject::default()
    };
    if let Ok(Some(names)) = parsed.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(name) => subject.dns.push(plain(name)),
                GeneralName::URI(name) => subject.uris.push(plain(name)),
                _ => {}
            }
        }
    }
    Some(subject)
}

fn sha256(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// RFC 4514 §2.1: the last part first, between commas; attributes of one part between plus signs.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter().collect();
    let parts = parts.into_iter().rev().map(|part| {
        let attributes = part.iter().map(attribute);
        attributes.collect::<Vec<_>>().join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(known, _)| *known == oid);
    let (name, value) = (short.map_or(&*oid, |(_, short)| short), attribute.as_str());
    match value {
        Ok(value) => format!("{name}={}", escaped(value)),
        Err(_) => {
            let bytes = attribute.as_slice().iter();
            let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
            format!("{name}=#{hex}")
        }
    }
}

/// RFC 4514 §2.4; every byte that is not visible ASCII or a space is a pair of digits.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        let is_outer_space = byte == b' ' && (at == 0 || at + 1 == value.len());
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if is_outer_space => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:02X}")),
        }
    }
    out
}

/// A name with every byte that is not visible ASCII, and every quote and backslash, as `%XX`.
fn plain(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => out.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_subject_is_told_in_plain_ascii_whatever_stands_in_the_certificate() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Söhne, \"& Co\"");
        params
            .distinguished_name
            .push(DnType::CommonName, "#a\r\nevil: 1 ");
        let text = |text: &str| Ia5String::try_from(text).expect("ASCII");
        params.subject_alt_names = vec![
            SanType::URI(text("spiffe://test/a\r\n\"b\"")),
            SanType::DnsName(text("a.test")),
        ];
        let key = KeyPair::generate().expect("a key can be made");
        let der = params.self_signed(&key).expect("it signs itself");
        let subject = subject(der.der()).expect("it is a certificate");

        assert_eq!(
            subject.name,
            "CN=\\#a\\0D\\0Aevil: 1\\ ,O=S\\C3\\B6hne\\, \\\"& Co\\\""
        );
        assert_eq!(subject.uris, ["spiffe://test/a%0D%0A%22b%22"]);
        assert_eq!(subject.dns, ["a.test"]);
        assert_eq!(subject.sha256.len(), 64);
    }

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        assert_eq!(super::subject(b"\x30\x03abc"), None);
    }
}
