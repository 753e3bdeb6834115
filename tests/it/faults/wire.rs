//! Answers that break, hang, go on for ever or come a byte at a time.

use std::time::Duration;

use latchkey::error::Reason::{Timeout, TooLarge, Unreachable, Upstream};

use super::bed::CANARY;
use super::family::{Case, run};
use crate::testkit::{Identity, Manner, Reply, Testkit};

fn broken() -> Vec<Case> {
    let body = format!("{{\"data\":{{\"k\":\"{CANARY}{}\"}}}}", "x".repeat(1_000));
    let so = |manner: Manner| Reply::new(200, body.clone()).manner(manner);
    let off = (Unreachable, "it broke its answer off");
    let none = (Unreachable, "it broke the connection off without an answer");
    let garbage = Reply::new(0, format!("SSH-2.0-OpenSSH {CANARY}\r\n\r\n")).manner(Manner::Raw);
    vec![
        Case::doubtful("truncated", so(Manner::Truncated(500)), off),
        Case::doubtful("truncated at once", so(Manner::Truncated(0)), off),
        Case::doubtful("reset in the body", so(Manner::Reset(500)), off),
        Case::doubtful("closed before an answer", so(Manner::Close), none),
        Case::doubtful("reset before an answer", so(Manner::ResetAtOnce), none),
        Case::doubtful("no HTTP", garbage, (Upstream, "its answer is no HTTP")),
        Case::once(
            "endless",
            so(Manner::Endless),
            (TooLarge, "its answer is larger than"),
            (TooLarge, "its answer is larger than"),
        ),
    ]
}

fn slow() -> Vec<Case> {
    let body = format!("{{\"data\":{{\"k\":\"{CANARY}{}\"}}}}", "x".repeat(10_000));
    let so = |manner: Manner| Reply::new(200, body.clone()).manner(manner);
    let no_end = (Timeout, "its answer did not end in time");
    vec![
        Case::doubtful("hangs before the headers", so(Manner::Hang), (Timeout, "it did not answer in time")),
        Case::doubtful("hangs after the headers", so(Manner::HangAfter(0)), no_end),
        Case::doubtful("hangs in the body", so(Manner::HangAfter(500)), no_end),
        Case::doubtful("a byte at a time", so(Manner::Slow(Duration::from_millis(5))), no_end),
    ]
}

#[tokio::test]
async fn f_09_a_broken_answer_is_one_pods_failure() {
    run(Testkit::start(), &broken()).await;
}

#[tokio::test]
async fn f_09_and_without_tls() {
    run(Testkit::start_as(Identity::Plain), &broken()).await;
}

#[tokio::test]
async fn f_11_a_server_that_hangs_or_dribbles_keeps_nobody_else_waiting() {
    run(Testkit::start(), &slow()).await;
}
