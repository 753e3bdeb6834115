//! Pure: how a Vault or OpenBao store is reached, by the file and by the variables of the upstream providers.

use latchkey::config::parse;
use latchkey::model::Tls;
use latchkey::model::endpoint::{Ca, Client};

use crate::configuration::{read, remote};

/// What the environment says of TLS, less the variables that are not set.
fn tls(store: &str, variables: &[(&str, &str)]) -> Tls {
    let look =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
    let config =
        parse(&format!("stores: {{ {store} }}"), look).unwrap_or_else(|problems| panic!("{problems}"));
    remote(&config).into_iter().find(|(name, ..)| store.starts_with(name)).unwrap().1.tls.clone()
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

#[test]
fn tls_is_the_files_word_before_the_environments_and_baos_before_vaults() {
    let all = |prefix: &str| {
        let variables = [
            ("CACERT", "/e"),
            ("TLS_SERVER_NAME", "e.corp"),
            ("SKIP_VERIFY", "T"),
            ("CLIENT_CERT", "/ec"),
            ("CLIENT_KEY", "/ek"),
        ];
        variables.map(|(name, text)| (format!("{prefix}_{name}"), text))
    };
    let [vault, bao] = ["VAULT", "BAO"].map(all);
    let vault: Vec<(&str, &str)> = vault.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let bao: Vec<(&str, &str)> = bao.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let said = Tls {
        ca: Some("/e".into()),
        name: Some("e.corp".into()),
        client: Some(Client { certificate: "/ec".into(), key: "/ek".into() }.into()),
        skip_verify: true,
    };
    assert_eq!(
        [tls("vault: {}", &vault), tls("openbao: {}", &vault), tls("openbao: {}", &bao)],
        [said.clone(), said.clone(), said.clone()]
    );
    assert_eq!(tls("vault: {}", &bao), Tls::default(), "what is OpenBao's");
    assert_eq!(tls("other: { kind: vault }", &vault), Tls::default(), "another name than its kind's");
    let first = tls("openbao: {}", &[&[("BAO_CACERT", "/b")], &vault[..]].concat());
    assert_eq!(first, Tls { ca: Some("/b".into()), ..said.clone() });
    // Setting by setting; certificate and key are one.
    let file =
        "vault: { ca: /f, serverName: F.corp, clientCertificate: /fc, clientKey: /fk, skipVerify: false }";
    let client = Some(Client { certificate: "/fc".into(), key: "/fk".into() }.into());
    let wanted = Tls { ca: Some("/f".into()), name: Some("f.corp".into()), client, skip_verify: false };
    assert_eq!(tls(file, &vault), wanted);
    assert_eq!(tls("vault: { ca: /f }", &vault), Tls { ca: Some("/f".into()), ..said });
}

#[test]
fn authorities_are_a_path_or_spelled_out_and_the_first_of_the_environments_three_counts() {
    let (file, pem, folder) = (("VAULT_CACERT", "/f"), ("VAULT_CACERT_BYTES", PEM), ("VAULT_CAPATH", "/d"));
    for (variables, wanted) in [
        (&[folder, pem, file][..], Ca::Path("/f".into())),
        (&[folder, pem], Ca::Pem(PEM.into())),
        (&[folder], Ca::Path("/d".into())),
    ] {
        assert_eq!(tls("vault: {}", variables).ca, Some(wanted));
    }
    let text = format!("stores:\n  vault:\n    ca: |\n      {}\n", PEM.replace('\n', "\n      "));
    assert_eq!(remote(&read(&text).unwrap())[0].1.tls.ca, Some(Ca::Pem(PEM.into())));
}

#[test]
fn an_agent_beside_us_is_asked_in_place_of_the_server() {
    let both = |name: &str| match name {
        "VAULT_AGENT_ADDR" => Some("unix:///run/agent.sock".to_owned()),
        "VAULT_ADDR" | "BAO_ADDR" => Some("https://server".to_owned()),
        _ => None,
    };
    let config = parse("stores: { vault: { address: \"https://file\" } }", both).unwrap();
    let seen: Vec<_> =
        remote(&config).iter().map(|(_, store, _)| store.endpoint.as_ref().unwrap().to_string()).collect();
    assert_eq!(seen, ["https://file", "unix:///run/agent.sock"], "the file's word is the last");
}

#[test]
fn what_the_environment_cannot_mean_is_refused_and_what_is_not_honoured_is_told() {
    for (name, text, words) in [
        ("VAULT_SKIP_VERIFY", "maybe", "is no boolean"),
        ("VAULT_TLS_SERVER_NAME", "10.0.0.1", "is no name that TLS can ask for"),
        ("VAULT_CACERT_BYTES", "/ca.pem", "is no PEM of authorities"),
        ("VAULT_CLIENT_CERT", "/c", "is a half of certificate and key"),
        ("VAULT_CLIENT_KEY", "/k", "is a half of certificate and key"),
    ] {
        let told = parse("", |asked| (asked == name).then(|| text.to_owned())).unwrap_err().text();
        assert!(told.contains(&format!("parameter {name}: {words}")), "{told}");
    }
    let known = ["BAO_WRAP_TTL", "VAULT_PROXY_ADDR", "VAULT_MAX_RETRIES", "VAULT_ADDR"];
    let config = parse("", |name| known.contains(&name).then(|| "http://x".to_owned())).unwrap();
    let mut names: Vec<&str> = config.ignored.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["BAO_WRAP_TTL", "VAULT_MAX_RETRIES", "VAULT_PROXY_ADDR"]);
}
