//! Every key of the configuration file, once: what reads it, what suggests it, and what documents it.

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its path; `*` stands for a name of the administrator's, `[]` for the entries of a list.
    pub(super) path: &'static str,
    /// What its value is.
    pub(super) value: &'static str,
    /// What holds without it; empty where nothing does.
    pub(super) default: &'static str,
    /// What it is for.
    pub(super) summary: &'static str,
}

const fn key(path: &'static str, value: &'static str, default: &'static str, summary: &'static str) -> Key {
    Key { path, value, default, summary }
}

/// All keys, in the order of the reference page.
pub(super) const KEYS: &[Key] = &[
    key(
        "stores.*.kind",
        "`local`, `vault` or `openbao`",
        "the store's own name",
        "What kind of store it is. A store that is named like a kind needs no `kind`. The stores `vault` and `openbao` are \
         always there, and classes of the providers of these names use them.",
    ),
    key("stores.*.file", "path", "", "`local`: the encrypted file. Required."),
    key(
        "stores.*.identity",
        "path",
        "",
        "`local`: the age identity file that opens it, mode 0440 at most. Required.",
    ),
    key(
        "stores.*.issuer",
        "URL",
        "",
        "`local`: the issuer of the cluster's service account tokens. With `jwks` and `audience`, or none of the \
         three: then the pod's token must be there and verify; without, kubelet's word over the root-only socket is \
         enough.",
    ),
    key("stores.*.jwks", "path", "", "`local`: the issuer's public keys, a JSON Web Key Set (RS256, ES256)."),
    key(
        "stores.*.audience",
        "text",
        "`vault`, `openbao`: the name of the kind",
        "The audience of the pod's token; it must stand in the CSIDriver's `tokenRequests` too. `local`: with `issuer` and \
         `jwks`. `vault`, `openbao`: for classes that name none.",
    ),
    key(
        "stores.*.address",
        "`https://HOST[:PORT][/PATH]`, `http://…` or `unix:///PATH`",
        "",
        "`vault`, `openbao`: the server, used as it is, for classes that name none. The store `vault` takes it from \
         `VAULT_AGENT_ADDR`, then `VAULT_ADDR` where it is not set here; `openbao` from `BAO_AGENT_ADDR`, `VAULT_AGENT_ADDR`, \
         `BAO_ADDR`, then `VAULT_ADDR`.",
    ),
    key(
        "stores.*.ca",
        "path, or PEM",
        "the system's",
        "`vault`, `openbao`: the authorities that the server's certificate is checked by: a PEM file, a folder of which every \
         file is one, or the PEM itself. For the store `vault` also `VAULT_CACERT`, then `VAULT_CACERT_BYTES` (PEM), then \
         `VAULT_CAPATH` (a folder); for `openbao` the same with `BAO_`, then `VAULT_`.",
    ),
    key(
        "stores.*.serverName",
        "DNS name",
        "the host of the address",
        "`vault`, `openbao`: the name that TLS asks for and that the server's certificate must have. Not through a proxy. For the \
         stores named like their kind also `VAULT_TLS_SERVER_NAME`, `BAO_TLS_SERVER_NAME`.",
    ),
    key(
        "stores.*.clientCertificate",
        "path",
        "",
        "`vault`, `openbao`: the PEM file of the certificate that the agent shows, with those between it and its authority; with \
         `clientKey`. Shown at the store's own address only. For the stores named like their kind also `VAULT_CLIENT_CERT`, `BAO_CLIENT_CERT`.",
    ),
    key(
        "stores.*.clientKey",
        "path",
        "",
        "`vault`, `openbao`: the PEM file of its key. For the stores named like their kind also `VAULT_CLIENT_KEY`, `BAO_CLIENT_KEY`.",
    ),
    key(
        "stores.*.skipVerify",
        "boolean",
        "false",
        "`vault`, `openbao`: believe any certificate of the server, which lets anyone on the way read the pods' tokens; \
         `policy.skipVerify` must list the server besides. For the stores named like their kind also `VAULT_SKIP_VERIFY`, `BAO_SKIP_VERIFY`.",
    ),
    key(
        "stores.*.authMount",
        "text",
        "`kubernetes`",
        "`vault`, `openbao`: the auth mount below `auth/` where pods log in, of the type kubernetes or jwt.",
    ),
    key(
        "stores.*.namespace",
        "text",
        "",
        "`vault`, `openbao`: the server's namespace for login and reads. For the store `vault` also `VAULT_NAMESPACE`; for \
         `openbao` `BAO_NAMESPACE`, then `VAULT_NAMESPACE`.",
    ),
    key(
        "stores.*.role",
        "text",
        "",
        "`vault`, `openbao`: the role of classes that name none. `{namespace}` and `{serviceAccount}` in it stand for the \
         pod's.",
    ),
    key(
        "stores.*.audiences",
        "list of texts",
        "any that belongs to no other kind of store",
        "`vault`, `openbao`: the audiences that classes may ask for, besides the default.",
    ),
    key(
        "stores.*.fresh",
        "duration",
        "60s",
        "`vault`, `openbao`: how old an object may be where the class does not say; `0` asks the server each time.",
    ),
    key(
        "policy.endpoints.allow",
        "list of endpoints",
        "",
        "Where classes may lead besides the addresses of `stores`: `https://HOST[:PORT]` without a path, in which a `*` \
         stands for one whole label of the host. An IP address is allowed only as itself; a socket never is.",
    ),
    key(
        "policy.files.allow",
        "list of paths",
        "",
        "Files and folders of the agent's own that a class may name, each as it is written there: authorities, and client \
         certificates with their keys, which whoever names them then uses towards any server that it may lead to.",
    ),
    key(
        "policy.skipVerify",
        "list of endpoints",
        "",
        "Where any certificate may be believed, if a class or a store asks for that. Classes must be allowed to lead there besides.",
    ),
    key(
        "policy.nodeIdentity",
        "list of stores",
        "",
        "Stores that may be reached as the node instead of as the pod. No store of this version can be.",
    ),
    key(
        "policy.rules",
        "list",
        "absent: everything that the stores allow",
        "Who may use what. Where it is present, what no rule allows is refused, so an empty list allows nothing.",
    ),
    key(
        "policy.rules[].namespaces",
        "list of patterns",
        "",
        "Namespaces of pods. In every pattern `*` stands for any run of characters. Required, like the next three.",
    ),
    key("policy.rules[].serviceAccounts", "list of patterns", "", "Service accounts of pods."),
    key(
        "policy.rules[].stores",
        "list of patterns",
        "",
        "Names of configured stores. A class that spells out the address of another store than its provider's is judged by that store's name.",
    ),
    key(
        "policy.rules[].objects",
        "list of patterns",
        "",
        "Objects by their canonical spelling, as audit lines show it: of a local store the path of an entry, and `?version=N` \
         behind it where a class asks for one; of Vault and OpenBao the path below `/v1/` with its query, the method before \
         it unless it is `GET`, without the digest of a body, and below `NAMESPACE/` where a class leads to another namespace than \
         the store's.",
    ),
    key(
        "policy.rules[].roles",
        "list of patterns",
        "any role",
        "Roles of the login; `AUTHMOUNT/ROLE` where a class logs in at another auth mount than the store's. A store without \
         roles, such as a local one, has the empty role, which `*` fits.",
    ),
    key("fresh.min", "duration", "0s", "Whatever class and store say, an object is fresh for at least this."),
    key(
        "fresh.max",
        "duration",
        "1h",
        "And for at most this. It also bounds for how long an object is served that its store does not give any more.",
    ),
    key(
        "stale.max",
        "duration",
        "1h",
        "How much older than fresh the last good object may be that a holder is given again while its store is out. `0s` \
         turns that off.",
    ),
    key(
        "stale.firstMounts",
        "boolean",
        "false",
        "Whether that also holds for one that was never given it, through a session of its own.",
    ),
    key(
        "logLevel",
        "`error`, `warn`, `info`, `debug` or `trace`",
        "info",
        "Level of Latchkey's own log lines. `--log-level` and its variable win over it.",
    ),
    key(
        "versions.keyFile",
        "path",
        "a key of this process's own",
        "At least 16 bytes, mode 0440 at most: the key of the object versions that the driver writes into the \
         pod's status. With the same file on every node and over restarts, equal content keeps equal versions. Another \
         content is taken within 10 s.",
    ),
    key(
        "versions.secret",
        "name",
        "",
        "In place of `keyFile`, the Secret of the agent's namespace whose data `key` is the key; it is made where it is \
         absent, and read again within 45 s, so that another key is made and taken within a minute where it is deleted. \
         The agent asks the API server for it, with the rights of `daemonset/rbac-version-key.yaml`.",
    ),
    key(
        "cluster.tokenRequest",
        "boolean",
        "false",
        "Whether the agent asks the API server for a pod's token where the driver hands over none for the audience that a \
         store wants: for 900 s, bound to the pod, and never for the API server's own audience. With the rights of \
         `daemonset/rbac-tokenrequest.yaml`.",
    ),
    key(
        "cluster.credentials",
        "path",
        "`/var/run/secrets/kubernetes.io/serviceaccount`",
        "The folder with `token`, `ca.crt` and `namespace` of the agent's own service account, for what it asks the API \
         server. The API server is where `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` say, and no proxy is used.",
    ),
    key(
        "limits.mountsInFlight",
        "number",
        "1024",
        "Mounts at work at once; beyond it kubelet is asked to try again.",
    ),
    key(
        "limits.answerBytes",
        "number of bytes",
        "4128768",
        "Largest encoded answer: the driver's `--max-call-recv-msg-size` less 64 KiB. Raise both together.",
    ),
    key(
        "limits.operation",
        "duration",
        "60s",
        "How long a login or a read may take with all its attempts, however long the mounts may wait that asked for it.",
    ),
    key("limits.sessions", "number", "4096", "Identities whose session, or refusal, is remembered."),
    key("limits.cacheObjects", "number", "10000", "Objects that are kept."),
    key(
        "limits.cacheBytes",
        "number of bytes",
        "16777216",
        "What they may take together. An object of more than a quarter of it is not kept.",
    ),
    key(
        "limits.pinned",
        "duration",
        "1h",
        "How long a pinned version is fresh, since it never changes, where the class does not say.",
    ),
    key(
        "limits.roomBytes",
        "number of bytes",
        "33554432",
        "Replies and answers of more than 64 KiB that are held at once, and smaller replies beyond 256 KiB a mount, a quarter of it \
         for answers; beyond it mounts wait, then kubelet is asked to try again. Four times `answerBytes` at least, which is also what holds where that is larger.",
    ),
    key("limits.callsInFlight", "number", "32", "Calls to one endpoint of a backend at once."),
    key(
        "limits.callsPerPrincipal",
        "number",
        "8",
        "The same, of one pod or whoever else a session belongs to.",
    ),
    key(
        "limits.callsQueued",
        "number",
        "1024",
        "Calls that wait for their turn at one endpoint; one principal may take up half of it, one \
         namespace three quarters. Beyond it kubelet is asked to try again.",
    ),
    key("limits.callsPerSecond", "number", "100", "Calls a second to one endpoint, in the long run."),
    key("limits.callsBurst", "number", "400", "Calls at once to one endpoint after a time of rest."),
    key("limits.loginAttempts", "number", "2", "Attempts of a login, a renewal or a revocation."),
    key("limits.readAttempts", "number", "3", "Attempts of a read."),
    key("limits.attempt", "duration", "15s", "Longest attempt."),
    key(
        "limits.backoff",
        "duration",
        "200ms",
        "Longest pause before a second attempt, of which chance takes a part; it doubles with each.",
    ),
    key(
        "limits.backoffMax",
        "duration",
        "5s",
        "Longest pause before any attempt, where the backend asks for none.",
    ),
    key(
        "limits.breakerAfter",
        "number",
        "10",
        "Failures in a row after which an endpoint is left alone: it cannot be reached, does not answer, or answers with \
         failures of its own.",
    ),
    key(
        "limits.breakerOpen",
        "duration",
        "5s",
        "For how long; it doubles each time that the endpoint is not back. Calls are refused at once meanwhile.",
    ),
    key("limits.breakerOpenMax", "duration", "60s", "For how long at most."),
    key(
        "limits.drain",
        "duration",
        "25s",
        "How long mounts at work may go on after SIGTERM; the pod's `terminationGracePeriodSeconds` is 10 s more.",
    ),
    key(
        "limits.livezAfter",
        "duration",
        "10s",
        "How long the runtime may stand still before `/livez` fails.",
    ),
    key("limits.exitAfter", "duration", "30s", "How long it may stand still before the process ends."),
    key(
        "audit.sink",
        "`stdout` or a path",
        "stdout",
        "Where audit lines go; a file is opened again when it is moved.",
    ),
    key(
        "audit.polls",
        "`changes` or `all`",
        "changes",
        "Whether an unchanged delivery is counted and summed up once an hour, or written each time.",
    ),
    key(
        "audit.required",
        "boolean",
        "false",
        "Whether a mount fails (`busy`) when its audit line cannot be written. Otherwise the line is dropped and counted.",
    ),
    key(
        "audit.queueLines",
        "number",
        "4096",
        "Lines that may wait for the sink; one subject may hold a quarter of them.",
    ),
];
