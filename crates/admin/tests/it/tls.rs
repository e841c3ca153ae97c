//! TLS, and certificates that are exchanged while it serves.

use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::Certificate;
use tempfile::TempDir;
use trunkline_admin::api::{Api, ApiBindError, TlsFiles};
use trunkline_testbed::postgres::Postgres;

use crate::bed::{Bed, LIMIT, WIDE, file};

struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Pair {
        certificate: cert.pem(),
        key: signing_key.serialize_pem(),
    }
}

fn files(directory: &TempDir, pair: &Pair) -> TlsFiles {
    TlsFiles {
        certificate: file(directory, "tls.crt", &pair.certificate),
        key: file(directory, "tls.key", &pair.key),
        check_interval: Duration::from_millis(20),
    }
}

/// Asks with this certificate trusted alone. `None`: another one is in use.
async fn ask(bed: &Bed, trusted: &Pair) -> Option<u16> {
    let certificate = Certificate::from_pem(trusted.certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([certificate])
        .resolve("localhost", bed.address)
        .timeout(LIMIT)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/v1/self", bed.address.port());
    let answer = client.get(url).bearer_auth(&bed.admin).send().await;
    answer.ok().map(|answer| answer.status().as_u16())
}

async fn is_in_use(bed: &Bed, pair: &Pair) {
    let asked = async {
        while ask(bed, pair).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = tokio::time::timeout(LIMIT, asked).await;
    assert!(asked.is_ok(), "the certificate is never in use");
}

#[tokio::test]
async fn a_new_certificate_is_taken_while_it_serves_and_a_wrong_one_is_not() {
    let server = Postgres::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (first, second, third) = (pair(), pair(), pair());
    let bed = Bed::on(&server, WIDE, Some(files(&directory, &first))).await;
    assert_eq!(ask(&bed, &first).await, Some(200));
    assert_eq!(ask(&bed, &second).await, None);
    // Nothing is answered in clear.
    let clear = format!("http://{}/v1/self", bed.address);
    assert!(bed.http.get(clear).send().await.is_err());

    files(&directory, &second);
    is_in_use(&bed, &second).await;
    // A certificate whose key is still to come: the one before stays.
    file(&directory, "tls.crt", &third.certificate);
    file(&directory, "tls.crt", &second.certificate);
    assert_eq!(ask(&bed, &second).await, Some(200));
    file(&directory, "tls.key", "no key at all");
    file(&directory, "tls.crt", &third.certificate);
    assert_eq!(ask(&bed, &second).await, Some(200));
    files(&directory, &third);
    is_in_use(&bed, &third).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_said_before_anything_is_served() {
    trunkline_testbed::install_crypto();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (pair(), pair());
    let mismatched = Pair {
        certificate: one.certificate,
        key: other.key,
    };
    let bind = async |files| Api::bind("127.0.0.1:0".parse().unwrap(), Some(files)).await;
    let refused = bind(files(&directory, &mismatched)).await.err();
    assert!(matches!(refused, Some(ApiBindError::Tls(_))));
    let mut missing = files(&directory, &mismatched);
    missing.key = directory.path().join("nothing");
    let refused = bind(missing).await.err().unwrap();
    let text = trunkline_domain::chain(&refused);
    assert!(text.contains("nothing cannot be read"), "{text}");
}
