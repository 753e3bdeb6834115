//! First mounts: classes of each provider, with the tokens that kubelet gives, before the real server.

use serde_json::json;

use crate::agent;
use crate::kubectl::kubectl;
use crate::namespace::Namespace;
use crate::openbao;
use crate::pod::draft;

#[test]
fn a_class_of_the_vault_provider_gives_a_pod_its_files_by_the_pods_own_token() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("vault-class", "from the server");
    openbao::bao(&["kv", "put", "-mount=secret", "vault-class/db", "user=web", "password=correct horse"]);
    let objects = "- objectName: db/user\n  secretPath: secret/data/vault-class/db\n  secretKey: user\n\
                   - objectName: db/password\n  secretPath: secret/data/vault-class/db\n  secretKey: password\n  \
                   filePermission: 0440\n- objectName: value\n  secretPath: secret/data/vault-class/value\n  \
                   secretKey: value\n";
    namespace.class("web", "vault", json!({ "roleName": "vault-class", "objects": objects }));
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    assert_eq!(pod.file("secrets/db/user"), "web");
    assert_eq!(pod.file("secrets/db/password"), "correct horse");
    assert_eq!(pod.file("secrets/value"), "from the server");
    let modes = pod.run(&["stat", "-L", "-c", "%a", "/mnt/secrets/db/user", "/mnt/secrets/db/password"]);
    assert_eq!(modes.unwrap(), "644\n440\n");
    // The audit line has the pod as the API server knows it, and figures tell of this very volume.
    let audit = namespace.audit();
    let delivered: Vec<_> = audit.iter().filter(|line| line["event"] == "deliver").collect();
    assert!(delivered.len() >= 3, "{audit:?}");
    for line in delivered {
        assert_eq!(line["podUid"], pod.uid());
        let whose = (&line["pod"], &line["serviceAccount"], &line["provider"], &line["audience"]);
        assert_eq!(whose, (&json!("web"), &json!("app"), &json!("vault"), &json!("vault")));
    }
    assert!(audit.iter().any(|line| line["event"] == "login" && line["role"] == "vault-class"), "{audit:?}");
    assert!(pod.last_success("secrets").is_some());
    assert_eq!(pod.failures(), []);
}

#[test]
fn a_class_of_the_openbao_provider_logs_in_at_a_jwt_mount() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("jwt-class", "by a signature");
    openbao::jwt_role("jwt-class");
    let objects = "- objectName: value\n  secretPath: secret/data/jwt-class/value\n  secretKey: value\n";
    namespace.class("web", "openbao", json!({ "roleName": "jwt-class", "objects": objects }));
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    assert_eq!(pod.file("secrets/value"), "by a signature");
    let audit = namespace.audit();
    let login = audit.iter().find(|line| line["event"] == "login").expect("a login");
    assert_eq!((&login["store"], &login["audience"]), (&json!("openbao"), &json!("openbao")));
}

#[test]
fn our_own_class_brings_two_stores_into_one_volume() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("native-class", "from the server");
    let secrets = "a: { store: local, path: shared/value }\n\
                   b: { store: vault, path: secret/data/native-class/value, role: \"{namespace}\" }\n";
    let files = "local: a.value\nfolder/vault: { from: b.value, mode: \"0444\" }\n";
    namespace.class("web", "latchkey", json!({ "secrets": secrets, "files": files }));
    let pod = draft("web").volume("secrets", "web").start(&namespace);
    pod.ready();
    assert_eq!(pod.file("secrets/local"), "from the local store");
    assert_eq!(pod.file("secrets/folder/vault"), "from the server");
}

#[test]
fn two_volumes_of_two_providers_stand_in_one_pod() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("two-volumes", "from the server");
    namespace.vault_class("theirs");
    namespace.native_class("ours", "local", "shared/value");
    let pod = draft("web").volume("one", "theirs").volume("two", "ours").start(&namespace);
    pod.ready();
    assert_eq!(pod.file("one/value"), "from the server");
    assert_eq!(pod.file("two/value"), "from the local store");
    // The driver keeps one status for each class.
    let statuses = kubectl(&["-n", "two-volumes", "get", "secretproviderclasspodstatuses", "-o", "name"]);
    assert_eq!(statuses.lines().count(), 2, "{statuses}");
}

#[test]
fn a_container_that_is_not_root_reads_what_others_may_read() {
    let _agent = agent::shared();
    let namespace = Namespace::new("not-root");
    let files = "value: a.value\nclosed: { from: a.value, mode: \"0400\" }\n";
    namespace.class(
        "web",
        "latchkey",
        json!({ "secrets": "a: { store: local, path: shared/value }", "files": files }),
    );
    let pod = draft("web").volume("secrets", "web").user(1000).start(&namespace);
    pod.ready();
    assert_eq!(pod.run(&["id", "-u"]).unwrap(), "1000\n");
    assert_eq!(pod.file("secrets/value"), "from the local store");
    assert!(pod.file("secrets/closed").contains("Permission denied"));
}

#[test]
fn thirty_pods_at_once_have_their_files() {
    let _agent = agent::shared();
    let namespace = Namespace::with_secret("storm", "for all of them");
    namespace.vault_class("web");
    let names: Vec<String> = (0..30).map(|number| format!("web-{number}")).collect();
    let pods: Vec<_> =
        names.iter().map(|name| draft(name).volume("secrets", "web").start(&namespace)).collect();
    for pod in &pods {
        pod.ready();
        assert_eq!(pod.file("secrets/value"), "for all of them");
        assert_eq!(pod.failures(), []);
    }
    let audit = namespace.audit();
    let logins = audit.iter().filter(|line| line["event"] == "login").count();
    // Each pod is an identity of its own, and logs in once, however often it is asked for.
    assert_eq!(logins, 30);
}
