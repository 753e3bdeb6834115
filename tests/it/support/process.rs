//! What the kernel knows of a running agent.

use std::fs;
use std::process::Command;

use super::agent::Agent;

/// How many descriptors it holds.
pub(crate) fn descriptors(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", pid(agent))).expect("its descriptors").count()
}

/// How many threads it has.
pub(crate) fn threads(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/task", pid(agent))).expect("its threads").count()
}

/// Resident memory, in KiB.
pub(crate) fn resident(agent: &Agent) -> u64 {
    memory(agent, "VmRSS:")
}

/// The most that it ever had, in KiB.
pub(crate) fn peak(agent: &Agent) -> u64 {
    memory(agent, "VmHWM:")
}

fn memory(agent: &Agent, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid(agent))).expect("its status");
    let line = status.lines().find(|line| line.starts_with(figure)).expect("its memory");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// The command of an agent behind a shell's settings: a `umask`, an `ulimit`.
pub(crate) fn after(settings: &str, agent: &Agent) -> Command {
    let direct = agent.command();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{settings}; exec \"$0\" \"$@\"")).arg(direct.get_program());
    command.args(direct.get_args());
    command.envs(direct.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn pid(agent: &Agent) -> i32 {
    agent.pid().as_raw_nonzero().get()
}
