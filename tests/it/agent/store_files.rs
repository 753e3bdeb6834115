//! Faults of the store's files under a running agent: each gives one clear text and nothing else, and is over once the
//! file is mended.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use latchkey::app::local::Keeper;

use crate::support::agent::{Agent, files, shipped};

/// One thing wrong with the files.
struct Fault {
    name: &'static str,
    harm: fn(&Agent),
    mend: fn(&Agent),
    /// What the text says, and what it tells to do.
    says: [&'static str; 2],
    /// The file that it names.
    file: &'static str,
}

fn put_back(agent: &Agent) {
    for name in ["store.age", "key.txt"] {
        let path = agent.path(name);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        let fresh = agent.path("fresh");
        fs::copy(agent.path(&format!("good-{name}")), &fresh).unwrap();
        fs::rename(&fresh, &path).unwrap();
    }
}

fn cut(agent: &Agent, keep: impl Fn(usize) -> usize) {
    let bytes = fs::read(agent.path("store.age")).unwrap();
    fs::write(agent.path("store.age"), &bytes[..keep(bytes.len())]).unwrap();
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "no store",
        harm: |agent| fs::remove_file(agent.path("store.age")).unwrap(),
        mend: put_back,
        says: ["the store file does not exist", "latchkey local init"],
        file: "store.age",
    },
    Fault {
        name: "no key",
        harm: |agent| fs::remove_file(agent.path("key.txt")).unwrap(),
        mend: put_back,
        says: ["the identity file does not exist", "put the identity there"],
        file: "key.txt",
    },
    Fault {
        name: "another store's key",
        harm: |agent| {
            Keeper::init(&agent.path("other.age"), &agent.path("other.txt")).unwrap();
            fs::rename(agent.path("other.txt"), agent.path("key.txt")).unwrap();
        },
        mend: put_back,
        says: ["the identity file does not open the store", "name the identity"],
        file: "store.age",
    },
    Fault {
        name: "no key in the key file",
        harm: |agent| fs::write(agent.path("key.txt"), "# nothing\n").unwrap(),
        mend: put_back,
        says: ["the identity file holds no key", "AGE-SECRET-KEY-1"],
        file: "key.txt",
    },
    Fault {
        name: "a store cut short by a byte",
        harm: |agent| cut(agent, |bytes| bytes - 1),
        mend: put_back,
        says: ["damaged", "backup"],
        file: "store.age",
    },
    Fault {
        name: "half a store",
        harm: |agent| cut(agent, |bytes| bytes / 2),
        mend: put_back,
        says: ["damaged", "backup"],
        file: "store.age",
    },
    Fault {
        name: "an empty store",
        harm: |agent| cut(agent, |_| 0),
        mend: put_back,
        says: ["damaged", "backup"],
        file: "store.age",
    },
    Fault {
        name: "a key that everyone may read",
        harm: |agent| mode(agent, 0o644),
        mend: |agent| mode(agent, 0o600),
        says: ["may be read or changed by others than its owner (mode 0644)", "chmod 0600"],
        file: "key.txt",
    },
    Fault {
        name: "a folder for a store",
        harm: |agent| {
            fs::remove_file(agent.path("store.age")).unwrap();
            fs::create_dir(agent.path("store.age")).unwrap();
        },
        mend: put_back,
        says: ["the store file is not a regular file", "name a regular file"],
        file: "store.age",
    },
];

fn mode(agent: &Agent, mode: u32) {
    fs::set_permissions(agent.path("key.txt"), fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_stores_files_is_told_clearly_and_ends_when_it_is_mended() {
    let agent = Agent::start(shipped());
    for name in ["store.age", "key.txt"] {
        fs::copy(agent.path(name), agent.path(&format!("good-{name}"))).unwrap();
    }
    // An optional object tolerates that it is absent, not that nobody knows.
    let secrets = "token: { store: local, path: web/token }\n\
                   db: { store: local, path: web/db, optional: true }\n";
    for fault in FAULTS {
        let whole = agent.mount("app", secrets).await.unwrap();
        assert_eq!(files(&whole).len(), 3, "before: {}", fault.name);
        (fault.harm)(&agent);
        let refusal = agent.mount("app", secrets).await.err().expect(fault.name);
        let text = &refusal.text;
        assert_eq!(refusal.name(), "FailedPrecondition", "{}: {text}", fault.name);
        for part in fault.says.iter().chain([&"store `local`"]) {
            assert!(text.contains(part), "{}: no `{part}` in: {text}", fault.name);
        }
        assert!(text.contains(agent.path(fault.file).to_str().unwrap()), "{}: {text}", fault.name);
        assert_eq!(text.lines().count(), 1, "one fault, one line: {text}");
        let again = agent.mount("app", secrets).await.err().expect(fault.name);
        assert_eq!(&again.text, text, "the same fault has the same text");
        (fault.mend)(&agent);
        let mended = agent.mount("app", secrets).await;
        let mended = mended.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", fault.name));
        assert_eq!(&files(&mended)["token"].1[..], b"s3cr3t-token");
        assert_eq!(files(&mended).len(), 3, "{}", fault.name);
    }
}
