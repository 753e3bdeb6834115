use latchkey::config::{self, Config};
use latchkey::error::Problems;

fn read(text: &str, host: Option<&str>) -> Result<Config, Problems> {
    config::parse(text, |name| match name {
        "KUBERNETES_SERVICE_HOST" => host.map(str::to_owned),
        "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
        _ => None,
    })
}

#[test]
fn nothing_is_switched_on_and_the_address_is_what_kubernetes_says() {
    for (host, address) in [
        (None, None),
        (Some("10.96.0.1"), Some("https://10.96.0.1:6443")),
        (Some("fd00::1"), Some("https://[fd00::1]:6443")),
        (Some("kubernetes.test"), Some("https://kubernetes.test:6443")),
    ] {
        let config = read("", host).unwrap();
        assert_eq!((config.cluster.token_request, config.version_secret), (false, None));
        assert_eq!(config.cluster.address.map(|address| address.site()).as_deref(), address);
        assert_eq!(
            config.cluster.credentials.to_str(),
            Some("/var/run/secrets/kubernetes.io/serviceaccount")
        );
    }
}

#[test]
fn a_version_secret_is_a_name_alone_and_no_second_source() {
    let config =
        read("versions: { secret: vault-csi-provider-hmac-key }\ncluster: { tokenRequest: true }\n", None);
    let config = config.unwrap();
    assert_eq!(config.version_secret.as_deref(), Some("vault-csi-provider-hmac-key"));
    assert!(config.cluster.token_request);
    for (text, told) in [
        ("versions: { secret: kube-system/key }", "is no name of a Secret"),
        ("versions: { secret: ../key }", "is no name of a Secret"),
        ("versions: { secret: Key }", "is no name of a Secret"),
        ("versions: { secret: key, keyFile: /k }", "stands beside `versions.keyFile`"),
        ("cluster: { tokenRequest: maybe }", "is not `true` or `false`"),
        ("cluster: { tokenRequests: true }", "tokenRequest"),
    ] {
        let problems = read(text, None).unwrap_err();
        assert!(problems.text().contains(told), "{text}: {problems}");
    }
}
