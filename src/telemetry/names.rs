//! The names and help texts of all metrics, in one place, so that none is used twice or spelled in two ways. They are
//! promises: dashboards and alerts rest on them, and `docs/METRICS.md` describes each. No metric is made here.

/// A metric as it is registered. The encoder adds `_total` to counters and `_info` to infos.
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

const fn name(name: &'static str, help: &'static str) -> Name {
    Name { name, help }
}

pub(super) const AUDIT_DROPPED: Name =
    name("latchkey_audit_dropped", "Audit lines that were lost: the queue was full, or the sink failed");
pub(super) const BACKEND_REQUESTS: Name =
    name("latchkey_backend_requests", "Requests to backends, by what came of them");
pub(super) const BACKEND_SECONDS: Name =
    name("latchkey_backend_seconds", "Time from a request to a backend to the end of its answer");
pub(super) const BREAKER_OPEN: Name =
    name("latchkey_breaker_open", "Endpoints of a store that are left alone since they fail all the time");
pub(super) const BUILD: Name = name("latchkey_build", "The version that runs");
pub(super) const CACHE: Name =
    name("latchkey_cache", "How objects were come by, and logins that were not tried");
pub(super) const CACHE_BYTES: Name = name("latchkey_cache_bytes", "What the objects take that are kept");
pub(super) const CACHE_ENTRIES: Name = name("latchkey_cache_entries", "Objects that are kept");
pub(super) const CODE_REPLACED: Name =
    name("latchkey_code_replaced", "Answers to Mount whose code the driver must not see, sent as Internal");
pub(super) const CONFIG_RELOAD: Name = name(
    "latchkey_config_reload",
    "Whether the configuration file as it is now was taken or refused has the value 1",
);
pub(super) const CONNECTIONS_REFUSED: Name =
    name("latchkey_connections_refused", "Connections closed before a request was read");
pub(super) const LOG_DROPPED: Name =
    name("latchkey_log_dropped", "Log lines that were lost since their reader was too slow");
pub(super) const LOGINS: Name = name("latchkey_logins", "Logins at backends");
pub(super) const MOUNT_SECONDS: Name =
    name("latchkey_mount_seconds", "Time from a Mount's arrival to its answer");
pub(super) const MOUNTS: Name = name("latchkey_mounts", "Mounts answered");
pub(super) const PANICS: Name = name("latchkey_panics", "Panics, each a bug");
pub(super) const SESSIONS: Name = name("latchkey_sessions", "Sessions that are kept");
pub(super) const QUEUE_SECONDS: Name =
    name("latchkey_queue_seconds", "Time that a call to a backend waited for its turn");
pub(super) const RETRIES: Name =
    name("latchkey_retries", "Calls to backends that were made again, by what the one before had met");
pub(super) const SOCKET: Name =
    name("latchkey_socket", "The state that a provider's socket is in has the value 1");
pub(super) const TLS_FILES_KEPT: Name = name(
    "latchkey_tls_files_kept",
    "TLS settings whose files turned bad, so that what they said before goes on",
);
pub(super) const VOLUME_LAST_SUCCESS: Name = name(
    "latchkey_volume_last_success_timestamp_seconds",
    "When a volume last got its files, in seconds since 1970",
);
