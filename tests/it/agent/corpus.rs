//! The program itself, as an administrator starts it, before the recorded mounts: every tenth of them, over its sockets.

use std::fs;
use std::process::Stdio;

use crate::corpus::case::cases;
use crate::corpus::served::{ask, configuration};
use crate::corpus::stub::Stub;
use crate::corpus::{Tally, judge};
use crate::support::agent::{Agent, shipped};
use crate::support::channel::channel;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_answers_recorded_mounts_over_its_sockets_with_a_plain_configuration() {
    let stub = Stub::start();
    let mut agent = Agent::prepare(shipped());
    agent.providers = "vault,openbao";
    configuration(agent.folder.path(), stub.port);
    let log = fs::File::create(agent.path("log.jsonl")).unwrap();
    let child = agent.command().arg("--stateless").stdout(Stdio::null()).stderr(log).spawn().unwrap();
    agent.child = Some(child);
    agent.wait_until("it is ready", |agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200));
    for provider in ["vault", "openbao"] {
        let channel = channel(&agent.path(&format!("sockets/{provider}.sock")));
        let mut tally = Tally::default();
        for case in cases(provider).iter().step_by(10) {
            let answer = ask(&stub, &channel, &case.request).await;
            tally.add(case, judge(case, &answer));
        }
        tally.report(&format!("{provider}, the program itself"));
    }
}
