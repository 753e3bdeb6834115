//! What counts as the same: files, modes, contents and versions to the byte, requests as a set, and of a failure where it
//! failed, with which reason, and what it names. Never a text.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use latchkey::proto::MountResponse;
use latchkey::text::printable;
use tonic::{Code, Status};

use super::case::{Call, File, Outcome, Version};

/// What a mount gave, and what it took.
pub(crate) struct Answer {
    pub(crate) outcome: Result<MountResponse, Status>,
    pub(crate) wire: Vec<Call>,
}

/// Every way in which an answer is not the one that was expected; `recorded` are the calls where the outcome has none
/// of its own.
pub(crate) fn differences(answer: &Answer, expected: &Outcome, recorded: &[Call]) -> Vec<String> {
    let wanted = expected.wire.as_deref().unwrap_or(recorded);
    let mut found = Vec::new();
    match (&answer.outcome, expected.ok) {
        (Ok(response), true) => {
            files(response, expected, &mut found);
            calls(&answer.wire, wanted, wanted, &mut found);
            let more: Vec<_> =
                answer.wire.iter().filter(|call| !is_own(call) && !wanted.contains(call)).collect();
            if !more.is_empty() {
                found.push(format!("asked too {more:?}"));
            }
        }
        (Err(status), false) => {
            failure(status, &answer.wire, expected, &mut found);
            // Where we fail and they did not, a case without calls of its own does not say how far we go.
            let theirs = if expected.reason.is_some() && expected.wire.is_none() { &[] } else { wanted };
            calls(&answer.wire, theirs, wanted, &mut found);
        }
        (Ok(_), false) => found.push(format!("delivered, and should fail: {expected:?}")),
        (Err(status), true) => found.push(format!("failed: {:?} {}", status.code(), status.message())),
    }
    found
}

fn files(response: &MountResponse, expected: &Outcome, found: &mut Vec<String>) {
    let ours = response.files.iter().map(|file| File {
        path: file.path.clone(),
        mode: file.mode,
        sha256: digest(&SHA256, &file.contents).as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        text: std::str::from_utf8(&file.contents).ok().map(str::to_owned),
    });
    let (mut ours, mut theirs) = (ours.collect::<Vec<_>>(), expected.files.clone());
    ours.sort();
    theirs.sort();
    let same = |one: &File, other: &File| {
        (&one.path, one.mode, &one.sha256) == (&other.path, other.mode, &other.sha256)
    };
    if ours.len() != theirs.len() || !ours.iter().zip(&theirs).all(|(one, other)| same(one, other)) {
        found.push(format!("files {ours:?}, not {theirs:?}"));
    }
    let versions = response.object_version.iter();
    let ours: BTreeSet<_> =
        versions.map(|one| Version { id: one.id.clone(), version: one.version.clone() }).collect();
    let theirs: BTreeSet<_> = expected.versions.iter().cloned().collect();
    if ours != theirs {
        found.push(format!("versions {ours:?}, not {theirs:?}"));
    }
}

/// Our own questions about a session or a lease are nobody's business; a class that asks them is.
fn is_own(call: &Call) -> bool {
    call.path.starts_with("/v1/auth/token/") || call.path.starts_with("/v1/sys/leases/")
}

/// Requests as a set: their order and the number of tries is each side's own. All of `needed` must be there, and no login
/// but those of `known`; a mount that fails may have read more than upstream, which stops at the first object that fails.
fn calls(ours: &[Call], needed: &[Call], known: &[Call], found: &mut Vec<String>) {
    let missing: Vec<_> = needed.iter().filter(|call| !ours.contains(call)).collect();
    if !missing.is_empty() {
        found.push(format!("did not ask {missing:?}"));
    }
    let logins: Vec<_> = ours.iter().filter(|call| !call.token && !known.contains(call)).collect();
    if !logins.is_empty() {
        found.push(format!("logged in too {logins:?}"));
    }
}

fn failure(status: &Status, wire: &[Call], expected: &Outcome, found: &mut Vec<String>) {
    let reasons = reasons(expected);
    if !reasons.contains(&status.code()) {
        let (code, text, stage) = (status.code(), status.message(), &expected.stage);
        found.push(format!("failed with {code:?}, not at {stage} with one of {reasons:?}: {text}"));
    }
    let read = wire.iter().any(|call| call.token && !is_own(call));
    let asked = !wire.is_empty();
    let further = match expected.stage.as_str() {
        "envelope" | "parameters" | "objects" => asked,
        "login" => read,
        _ => false,
    };
    if further {
        found.push(format!("went further than {}: {wire:?}", expected.stage));
    }
    let text = status.message();
    let missing: Vec<_> = expected.names.iter().filter(|name| !names(text, name)).collect();
    if !missing.is_empty() {
        found.push(format!("does not name {missing:?} in: {text}"));
    }
}

/// Texts escape what is not fit for a line.
fn names(text: &str, name: &str) -> bool {
    text.contains(&printable(name))
}

/// The codes that a failure may have: that of our reason where the case has one, else those of its stage.
fn reasons(expected: &Outcome) -> &'static [Code] {
    use Code::{FailedPrecondition, Internal, InvalidArgument, NotFound, PermissionDenied, Unauthenticated};
    match (expected.reason.as_deref(), expected.stage.as_str()) {
        (Some("invalid"), _) => &[InvalidArgument],
        (Some("policy" | "forbidden"), _) => &[PermissionDenied],
        (Some("setup" | "too_large"), _) => &[FailedPrecondition],
        (Some("expired" | "login"), _) => &[Unauthenticated],
        (Some("not_found"), _) => &[NotFound],
        (Some("upstream" | "throttled" | "unreachable" | "timeout" | "busy"), _) => &[Internal],
        (Some(other), _) => panic!("the reason {other}"),
        (None, "envelope" | "parameters" | "objects") => {
            &[InvalidArgument, PermissionDenied, FailedPrecondition]
        }
        (None, "login") => &[Unauthenticated, FailedPrecondition, Internal, InvalidArgument],
        (None, "fetch") => {
            &[InvalidArgument, NotFound, PermissionDenied, Internal, FailedPrecondition, Unauthenticated]
        }
        (None, "extract") => &[NotFound, InvalidArgument],
        // Nobody wants that of us.
        (None, "crash") => &[],
        (None, other) => panic!("the stage {other}"),
    }
}
