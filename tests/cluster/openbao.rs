//! The OpenBao server as its administrator sets it up, with its own command.

use crate::kubectl::attempt;

/// The address of the node where containers reach it, and the backends of the tests.
pub(crate) const NODE: &str = "10.88.255.1";

/// What `bao` prints; it must succeed.
pub(crate) fn bao(arguments: &[&str]) -> String {
    attempt("bao", arguments, "").unwrap_or_else(|error| panic!("{error}"))
}

/// Sets the one field `value` of `secret/PATH`.
pub(crate) fn put(path: &str, value: &str) {
    bao(&["kv", "put", "-mount=secret", path, &format!("value={value}")]);
}

/// Lets holders of policy `name` read `secret/NAME/*`.
pub(crate) fn permit(name: &str) {
    let policy = format!("path \"secret/data/{name}/*\" {{ capabilities = [\"read\"] }}");
    attempt("bao", &["policy", "write", name, "-"], &policy).unwrap_or_else(|error| panic!("{error}"));
}

/// The role `name` at the auth mount `kubernetes`, for account `app` of the namespace of that name.
pub(crate) fn kubernetes_role(name: &str) {
    let namespaces = format!("bound_service_account_namespaces={name}");
    role("kubernetes", name, &["bound_service_account_names=app", &namespaces, "audience=vault"]);
}

/// The same at the auth mount `jwt`, which takes the API server's signature for it.
pub(crate) fn jwt_role(name: &str) {
    let subject = format!("bound_subject=system:serviceaccount:{name}:app");
    role("jwt", name, &["role_type=jwt", "user_claim=sub", "bound_audiences=openbao", &subject]);
}

/// A role with the policy of its name.
fn role(mount: &str, name: &str, settings: &[&str]) {
    let (path, policies) = (format!("auth/{mount}/role/{name}"), format!("token_policies={name}"));
    bao(&[&["write", path.as_str(), policies.as_str(), "token_ttl=1h"], settings].concat());
}
