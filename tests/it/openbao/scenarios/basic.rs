//! Scenarios 1, 4 and 5: static secrets and certificates.

use std::process::Stdio;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use serde_json::Value;
use tokio_rustls::rustls;

use super::super::node::{Counted, Node, PROVIDERS, holding};
use super::{Class, DOMAIN, SOCKETS, furnished, text};
use crate::support::agent::{Agent, shipped};

/// A node that knows its server from the variables alone that the upstream providers have.
pub(super) fn by_environment(variables: &[(&str, String)]) -> Node {
    let mut agent = Agent::prepare(shipped());
    std::fs::write(agent.path("latchkey.yaml"), "audit: { sink: /dev/null }\n").unwrap();
    agent.providers = PROVIDERS;
    let log = std::fs::File::create(agent.path("log.jsonl")).unwrap();
    let mut command = agent.command();
    for (name, value) in variables {
        command.env(name, value);
    }
    agent.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().expect("the agent starts"));
    agent.wait_until("the agent is ready", |agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200));
    Node { agent }
}

/// The store of the OpenBao provider asks for tokens of its own audience, unless a class names another.
#[tokio::test]
async fn s_01_two_fields_of_a_secret_are_two_files_with_modes_at_the_server_of_the_environment() {
    let bed = furnished().await;
    let (url, ca) = (bed.server.url(), bed.server.ca().display().to_string());
    let elsewhere = "https://127.0.0.1:1".to_owned();
    for (provider, variables) in [
        ("vault", vec![("VAULT_ADDR", url.clone()), ("VAULT_CACERT", ca.clone())]),
        ("openbao", vec![("VAULT_ADDR", url.clone()), ("VAULT_CACERT", ca.clone())]),
        ("openbao", vec![("BAO_ADDR", url.clone()), ("BAO_CACERT", ca), ("VAULT_ADDR", elsewhere)]),
    ] {
        let node = by_environment(&variables);
        let objects = "- objectName: user\n  secretPath: secret/data/shop/till\n  secretKey: user\n  \
                       filePermission: 0624\n\
                       - objectName: secrets/password\n  secretPath: /v1/secret/data/shop/till\n  \
                       secretKey: password\n";
        let class = Class::new(provider, "shop-kv", objects).audience("vault");
        let files = class.files(&node, &holding("shop-kv", 1).await).await;
        assert_eq!(files.len(), 2, "{provider}");
        assert_eq!(files["user"], (0o624, b"clerk".to_vec()), "{provider}");
        assert_eq!(files["secrets/password"], (0o644, b"till-and-drawer".to_vec()), "{provider}");
    }
}

#[tokio::test]
async fn s_04_two_volumes_of_one_pod_are_two_classes_and_one_login() {
    furnished().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let mut pod = holding("shop-kv", 4).await;
        let login = "- { objectName: user, secretPath: /secret/data/shop/till, secretKey: user }\n";
        let key =
            "- { objectName: key, secretPath: secret/data/shop/key, secretKey: binary, encoding: base64 }\n";
        let (login, key) = (Class::new(provider, "shop-kv", login), Class::new(provider, "shop-kv", key));
        let first = login.files(&node, &pod).await;
        pod.volume = "keys".to_owned();
        let second = key.files(&node, &pod).await;
        assert_eq!((first.len(), text(&first["user"])), (1, "clerk"), "{provider}");
        assert_eq!((second.len(), &second["key"].1[..]), (1, &[0, 1, 2, 255][..]), "{provider}");
        assert_eq!(node.front.count("login"), 1, "{provider}: {:?}", node.front.counts());
    }
}

#[tokio::test]
async fn s_05_a_certificate_is_issued_by_put_with_arguments_and_its_reply_is_written_whole() {
    furnished().await;
    for provider in SOCKETS {
        let node = Counted::start("", "").await;
        let (name, other) = (format!("{provider}.{DOMAIN}"), format!("other.{DOMAIN}"));
        let object = |name: &str| {
            format!(
                "- objectName: {name}.json\n  secretPath: pki/issue/shop\n  method: PUT\n  secretArgs:\n    \
                 common_name: {name}\n    ttl: 1h\n"
            )
        };
        let class = Class::new(provider, "shop-pki", &(object(&name) + &object(&other)));
        let files = class.files(&node, &holding("shop-pki", 5).await).await;
        // The same path with other arguments is another certificate.
        assert_eq!(node.front.count("PUT pki/issue/shop"), 2, "{:?}", node.front.counts());
        for (name, not) in [(&name, &other), (&other, &name)] {
            let reply: Value = serde_json::from_str(text(&files[&format!("{name}.json")])).unwrap();
            let pem =
                |field: &str| reply["data"][field].as_str().unwrap_or_else(|| panic!("{field}: {reply}"));
            let (leaf, root) = (pem("certificate"), pem("issuing_ca"));
            assert_eq!(good_for(leaf, root, name), Ok(()), "{name}");
            let refused = good_for(leaf, root, not).unwrap_err();
            assert!(
                matches!(
                    refused,
                    rustls::Error::InvalidCertificate(
                        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
                    )
                ),
                "{refused}"
            );
            assert!(pem("private_key").starts_with("-----BEGIN "));
        }
    }
}

/// Whether a client that trusts this authority takes the certificate for a server of this name.
pub(in super::super) fn good_for(leaf: &str, root: &str, name: &str) -> Result<(), rustls::Error> {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(der(root)).expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    verifier.expect("a verifier").verify_server_cert(&der(leaf), &[], &name, &[], UnixTime::now()).map(drop)
}
