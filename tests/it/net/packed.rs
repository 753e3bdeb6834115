//! Answers that come packed although nobody asked for it.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use latchkey::error::Reason;
use latchkey::model::Origin;
use latchkey::net::{Config, Limits};

use super::now;
use crate::testkit::{Reply, Testkit};

fn packed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn answer(body: Vec<u8>) -> Reply {
    Reply::new(200, body).header("content-encoding", "GZIP")
}

#[tokio::test]
async fn a_packed_answer_is_unpacked_within_the_bound_of_any_other() {
    let kit = Testkit::start();
    let limits = Limits { body_bytes: 100_000, ..Limits::default() };
    let stack = now(Config { limits, ..Config::default() });
    let endpoint = kit.endpoint(Origin::Administrator);
    let outcome = async |reply: Reply| {
        kit.script("/", reply);
        let reply = stack.within(&endpoint, Duration::from_secs(60)).await;
        reply.map(|reply| reply.body.expose().to_vec()).map_err(|fault| fault.problem.reason)
    };
    for plain in [&b""[..], b"{}", &[b'x'; 100_000]] {
        assert_eq!(outcome(answer(packed(plain))).await.as_deref(), Ok(plain));
    }
    // A head without a body, and what is packed otherwise, is let be.
    assert_eq!(outcome(answer(Vec::new())).await.as_deref(), Ok(&b""[..]));
    let other = Reply::new(200, "x").header("content-encoding", "br");
    assert_eq!(outcome(other).await.as_deref(), Ok(&b"x"[..]));
    // A little that becomes much, by its own word or against it, and what is broken.
    assert_eq!(outcome(answer(packed(&[b'x'; 100_001]))).await, Err(Reason::TooLarge));
    let mut lying = packed(&[b'x'; 100_001]);
    let end = lying.len() - 4;
    lying[end..].copy_from_slice(&2u32.to_le_bytes());
    assert_eq!(outcome(answer(lying)).await, Err(Reason::Unreachable));
    let mut broken = packed(&[b'x'; 1_000]);
    broken.remove(12);
    assert_eq!(outcome(answer(broken)).await, Err(Reason::Unreachable));
    assert_eq!(outcome(answer(b"{}".to_vec())).await, Err(Reason::Unreachable));
}
