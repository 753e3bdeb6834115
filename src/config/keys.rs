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
        "limits.roomBytes",
        "number of bytes",
        "33554432",
        "Replies and answers of more than 64 KiB that are held at once, a quarter of it for answers; beyond it mounts wait, then \
         kubelet is asked to try again. Four times `answerBytes` at least, which is also what holds where that is larger.",
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
        "Calls that wait for their turn at one endpoint; one principal may take up half of it. Beyond it kubelet is asked \
         to try again.",
    ),
    key("limits.callsPerSecond", "number", "100", "Calls a second to one endpoint, in the long run."),
    key("limits.callsBurst", "number", "200", "Calls at once to one endpoint after a time of rest."),
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
