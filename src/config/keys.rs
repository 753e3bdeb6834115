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
        "`local`",
        "the store's own name",
        "What kind of store it is. A store that is named like a kind needs no `kind`.",
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
        "",
        "`local`: the audience of the pod's token; it must stand in the CSIDriver's `tokenRequests` too.",
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
        "Namespaces of pods. In every pattern `*` stands for any run of characters. Required, like the other three.",
    ),
    key("policy.rules[].serviceAccounts", "list of patterns", "", "Service accounts of pods."),
    key("policy.rules[].stores", "list of patterns", "", "Names of configured stores."),
    key(
        "policy.rules[].objects",
        "list of patterns",
        "",
        "Objects by their canonical spelling, as audit lines show it: of a local store the path of an entry, and `?version=N` behind it where a class asks for one.",
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
        "versions.keyFile",
        "path",
        "a key of this process's own",
        "At least 16 bytes, mode 0440 at most: the key of the object versions that the driver writes into the \
         pod's status. With the same file on every node and over restarts, equal content keeps equal versions.",
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
