//! Which certificate a name gets.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use rustls::SignatureScheme as Scheme;

use super::*;
use crate::config::CertificateFiles;
use crate::tls::files::provider;

const ANY: [Scheme; 2] = [Scheme::ECDSA_NISTP256_SHA256, Scheme::ED25519];

fn certificate(names: &[&str], algorithm: &'static SignatureAlgorithm) -> Certificate {
    let key = KeyPair::generate_for(algorithm).expect("a key can be made");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).expect("the test gives valid names");
    let pem = params.self_signed(&key).expect("it signs itself").pem();
    let files = CertificateFiles {
        cert: "cert".into(),
        key: "key".into(),
    };
    let bytes = (pem.as_bytes(), &*key.serialize_pem().into_bytes());
    Certificate::new(&files, bytes, &provider()).expect("the pair fits")
}

fn shop(unknown: UnknownServerName) -> (Vec<Certificate>, Names) {
    let all = vec![
        certificate(&["shop.test", "*.shop.test"], &PKCS_ECDSA_P256_SHA256),
        certificate(&["API.shop.test"], &PKCS_ECDSA_P256_SHA256),
        certificate(&["shop.test", "*.shop.test"], &PKCS_ED25519),
    ];
    let names = Names::new(&all, unknown);
    (all, names)
}

#[test]
fn an_exact_name_wins_over_a_wildcard_and_a_wildcard_is_one_label() {
    let (all, names) = shop(UnknownServerName::Refuse);
    let position = |name| {
        let found = names.find(name, &ANY)?;
        all.iter().position(|it| Arc::ptr_eq(&it.key, &found))
    };
    assert_eq!(position(Some("shop.test")), Some(0));
    assert_eq!(position(Some("shop.test.")), Some(0));
    assert_eq!(position(Some("www.shop.test")), Some(0));
    assert_eq!(position(Some("api.shop.test")), Some(1));
    for unknown in ["a.b.shop.test", "test", ".shop.test.x", "xshop.test", ""] {
        assert_eq!(position(Some(unknown)), None, "{unknown}");
    }
    assert_eq!(position(None), None);
}

#[test]
fn the_first_certificate_answers_for_unknown_names_and_for_none() {
    let (all, names) = shop(UnknownServerName::FirstCertificate);
    for name in [None, Some("elsewhere.test")] {
        let found = names.find(name, &ANY).expect("there is a default");
        assert!(Arc::ptr_eq(&found, &all[0].key), "{name:?}");
    }
}

#[test]
fn of_several_for_a_name_one_that_the_client_can_verify_is_shown() {
    let (all, names) = shop(UnknownServerName::FirstCertificate);
    for name in [Some("shop.test"), Some("www.shop.test"), None] {
        let found = names.find(name, &[Scheme::ED25519]).expect("there is one");
        assert!(Arc::ptr_eq(&found, &all[2].key), "{name:?}");
    }
}
