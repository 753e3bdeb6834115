//! Classes of the Vault provider, judged by the real dialects with a configuration.

use latchkey::app::lint::lint;
use latchkey::config::parse;
use latchkey::lint::Report;

use super::{class, lines};

const CONFIG: &str = "stores: { vault: { address: https://vault.corp:8200 } }\npolicy: { endpoints: { allow: [https://team.corp] } }\n";

/// A class of one object at line 7, with more parameters behind it.
fn vault(name: &str, provider: &str, more: &str) -> String {
    let objects = "    objects: |\n      - { objectName: a, secretPath: secret/data/a }\n    roleName: web\n";
    class(name, provider, &format!("{objects}{more}"))
}

#[test]
fn without_a_configuration_the_servers_are_taken_for_configured_and_no_address_for_permitted() {
    let files = [vault("bare", "vault", ""), vault("away", "openbao", "    baoAddress: https://away.corp\n")];
    let report = lint(&parse("", |_| None).unwrap(), true, &[("web.yaml".to_owned(), files.join("---\n"))]);
    let told: Vec<&str> = report.endpoints.iter().map(|closed| closed.endpoint.as_str()).collect();
    assert_eq!((told, lines(&report)), (vec!["https://away.corp"], vec![]));
}

fn report(manifests: &[String]) -> Report {
    lint(&parse(CONFIG, |_| None).unwrap(), false, &[("web.yaml".to_owned(), manifests.join("---\n"))])
}

#[test]
fn a_class_that_stays_at_the_store_or_goes_where_it_may_is_clean() {
    let own = vault("own", "vault", "    vaultAddress: https://VAULT.corp:8200/\n");
    let permitted = vault("permitted", "openbao", "    baoAddress: https://team.corp\n");
    let report = report(&[vault("bare", "vault", ""), own, permitted]);
    assert!(report.is_clean(), "{:?} {:?}", lines(&report), report.endpoints);
    assert_eq!(report.classes, 3);
}

#[test]
fn an_address_that_nobody_permitted_is_told_as_the_line_to_add() {
    let report = report(&[vault("away", "vault", "    vaultAddress: https://away.corp/base\n")]);
    let told: Vec<&str> = report.endpoints.iter().map(|closed| closed.endpoint.as_str()).collect();
    assert_eq!((told, lines(&report)), (vec!["https://away.corp"], vec![]));
}

#[test]
fn what_else_policy_refuses_stands_at_the_parameter_that_says_it() {
    let skip = "    vaultAddress: https://team.corp\n    vaultSkipTLSVerify: \"true\"\n";
    let file = "    baoAddress: https://team.corp\n    baoCACertPath: /ca.pem\n";
    let token = "    audience: sts.amazonaws.com\n";
    let report = report(&[
        vault("skip", "vault", skip),
        vault("file", "openbao", file),
        vault("token", "vault", token),
    ]);
    let object = |store| format!("secret `a` ({store} secret/data/a)");
    assert_eq!(
        lines(&report),
        [
            format!(
                "web.yaml:10:25: policy: parameter vaultSkipTLSVerify, {}: believing any certificate of \
                 `https://team.corp` is not permitted; the administrator may add to `policy.skipVerify`: - \
                 \"https://team.corp\"",
                object("vault")
            ),
            format!(
                "web.yaml:21:20: policy: parameter baoCACertPath, {}: the file `/ca.pem` is the agent's, and a class may \
                 not name it; the administrator may add to `policy.files.allow`: - \"/ca.pem\"",
                object("openbao")
            ),
            format!(
                "web.yaml:31:15: policy: parameter audience, {}: a token of audience `sts.amazonaws.com` belongs to AWS \
                 and is sent nowhere else; name the audience that the store itself expects, or none",
                object("vault")
            ),
        ]
    );
    assert!(report.endpoints.is_empty(), "{:?}", report.endpoints);
}
