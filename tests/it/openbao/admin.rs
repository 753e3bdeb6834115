//! The tests' own client of a server, as its administrator: nothing of Latchkey's is in it, so that what it sees is
//! what the server says.

use serde_json::{Value, json};

/// A token at an address, in a namespace.
#[derive(Clone)]
pub(super) struct Admin {
    http: reqwest::Client,
    address: String,
    token: String,
    namespace: String,
}

impl Admin {
    pub(super) fn new(client: reqwest::ClientBuilder, address: &str, token: &str) -> Self {
        // No pool: a connection belongs to the runtime of one test, and the client to all of them.
        let http = client.pool_max_idle_per_host(0).http1_only().build().expect("a client");
        Self { http, address: address.to_owned(), token: token.to_owned(), namespace: String::new() }
    }

    /// The same with another token.
    pub(super) fn holding(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same in a namespace.
    pub(super) fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// Status and body (`null` where it is none of JSON); `None` where nobody answers.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.address));
        for (name, value) in [("X-Vault-Token", &self.token), ("X-Vault-Namespace", &self.namespace)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let reply = request.header("X-Vault-Request", "true").send().await.ok()?;
        let status = reply.status().as_u16();
        Some((status, serde_json::from_slice(&reply.bytes().await.ok()?).unwrap_or(Value::Null)))
    }

    /// The body of a write that succeeds.
    pub(super) async fn write(&self, path: &str, body: Value) -> Value {
        let (status, reply) = self.call("POST", path, Some(body)).await.expect("an answer");
        assert!(status < 300, "{path}: {status} {reply}");
        reply
    }

    /// The body of a read that succeeds.
    pub(super) async fn read(&self, path: &str) -> Value {
        let (status, reply) = self.call("GET", path, None).await.expect("an answer");
        assert!(status < 300, "{path}: {status} {reply}");
        reply
    }

    pub(super) async fn delete(&self, path: &str) {
        let (status, reply) = self.call("DELETE", path, None).await.expect("an answer");
        assert!(status < 300, "{path}: {status} {reply}");
    }

    /// Status and body of a login.
    pub(super) async fn log_in(&self, mount: &str, role: &str, jwt: &str) -> (u16, Value) {
        let body = json!({ "role": role, "jwt": jwt });
        let path = format!("auth/{mount}/login");
        self.holding("").call("POST", &path, Some(body)).await.expect("an answer")
    }
}
