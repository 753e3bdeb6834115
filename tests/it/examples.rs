//! Every example is mounted, by the commands of their own page.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use latchkey::model::Class;
use latchkey::yaml::{self, Limits, Node};
use serde_json::Value;

use crate::layers::source::top;
use crate::support::agent::shipped;

/// What a pod finds: path, mode, content.
type File = (&'static str, &'static str, &'static str);

/// Each manifest with the service account that mounts it.
const EXPECTED: [(&str, &str, &[File]); 4] = [
    (
        "demo.yaml",
        "web",
        &[
            ("db/password", "0440", "correct-horse"),
            ("db/username", "0644", "web"),
            ("stripe.key", "0644", "sk_example"),
        ],
    ),
    (
        "files.yaml",
        "gateway",
        &[
            ("signing.key", "0400", "first"),
            ("tls/cert.pem", "0644", "certificate"),
            ("tls/key.pem", "0400", "private key"),
        ],
    ),
    (
        "folder.yaml",
        "batch",
        &[
            ("db/password", "0644", "correct-horse"),
            ("db/username", "0644", "web"),
            ("stripe", "0644", "sk_example"),
        ],
    ),
    (
        "pod.yaml",
        "web",
        &[
            ("db.json", "0644", r#"{"password":"correct-horse","username":"web"}"#),
            ("db/password", "0440", "correct-horse"),
            ("db/username", "0644", "web"),
        ],
    ),
];

/// A folder that looks like the top of the repository, with the page's blocks number `from..to` run in it by a shell.
struct Shell(tempfile::TempDir);

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(top().join("examples"), folder.path().join("examples")).unwrap();
        Self(folder)
    }

    fn run(&self, script: &str) -> Output {
        let folder = shipped().parent().unwrap().to_owned();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", script]).current_dir(self.0.path()).env("PATH", path);
        for name in ["LATCHKEY_LOCAL_FILE", "LATCHKEY_LOCAL_IDENTITY", "LATCHKEY_CONFIG"] {
            shell.env_remove(name);
        }
        shell.output().unwrap()
    }

    /// Mounts with the store that the page makes.
    fn mount(&self, arguments: &str) -> Output {
        let store = "export LATCHKEY_LOCAL_FILE=store.age LATCHKEY_LOCAL_IDENTITY=key.txt";
        self.run(&format!("{store}\nexec latchkey mount {arguments}"))
    }
}

fn ended_well(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn page() -> String {
    fs::read_to_string(top().join("examples/README.md")).unwrap()
}

/// The shell commands of the page.
fn blocks() -> Vec<String> {
    let page = page();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// The classes that read a server: whoever has one mounts them. Here their plans are judged.
const REMOTE: [&str; 2] = ["vault", "openbao"];

fn of_local_store() -> Vec<String> {
    manifests().into_iter().filter(|name| !REMOTE.iter().any(|store| name.starts_with(store))).collect()
}

fn manifests() -> Vec<String> {
    let names = fs::read_dir(top().join("examples")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    names
}

#[test]
fn every_example_mounts_with_the_store_that_its_page_makes() {
    assert_eq!(of_local_store(), EXPECTED.map(|(name, ..)| name), "each has a row");
    let blocks = blocks();
    assert_eq!(blocks.len(), 2);
    let shell = Shell::new();
    ended_well(&shell.run(&blocks.concat()));
    for (name, account, files) in EXPECTED {
        let report = shell.mount(&format!("-f examples/{name} -s {account} --out out/{name} --output json"));
        let report: Value = serde_json::from_str(&ended_well(&report)).unwrap();
        let out = shell.0.path().join("out").join(name);
        let mut seen = BTreeMap::new();
        for file in report["files"].as_array().unwrap() {
            let path = file["path"].as_str().unwrap();
            let content = fs::read_to_string(out.join(path)).unwrap();
            seen.insert(path.to_owned(), (file["mode"].as_str().unwrap().to_owned(), content));
        }
        let wanted: BTreeMap<_, _> = files
            .iter()
            .map(|(path, mode, content)| (path.to_string(), (mode.to_string(), content.to_string())))
            .collect();
        assert_eq!(seen, wanted, "{name}");
    }
    let refused = shell.mount("-f examples/demo.yaml -s gateway");
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("`shop/gateway` is not among the readers of `prod/db`"), "{text}");
}

#[test]
fn the_readme_shows_the_demo_class_and_what_the_program_prints_for_it() {
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let block = |language: &str, number: usize| {
        let opening = format!("```{language}\n");
        readme.split(opening.as_str()).nth(number).unwrap().split("```").next().unwrap().to_owned()
    };
    let demo = fs::read_to_string(top().join("examples/demo.yaml")).unwrap();
    assert!(demo.ends_with(&block("yaml", 1)), "the class differs from examples/demo.yaml");

    let shell = Shell::new();
    ended_well(&shell.run(&blocks()[0]));
    // Versions are of this process's own key.
    let masked = |text: &str| {
        let word = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.split(' ').map(|part| if word(part) { "version" } else { part }).collect::<Vec<_>>().join(" ")
    };
    let printed = ended_well(&shell.mount("-f examples/demo.yaml -s web"));
    assert_eq!(masked(&printed), masked(&block("text", 1)));

    ended_well(&shell.run(
        "export LATCHKEY_LOCAL_FILE=store.age LATCHKEY_LOCAL_IDENTITY=key.txt
         for entry in db stripe; do latchkey local set prod/$entry --no-readers --reader shop/web </dev/null; done",
    ));
    let refused = shell.mount("-f examples/demo.yaml -s batch");
    let text = String::from_utf8(refused.stderr)
        .unwrap()
        .replace("at store.age", "at /etc/latchkey/store/store.age");
    assert!(text.ends_with(&format!("latchkey: {}", block("text", 2))), "{text}");
}

#[test]
fn the_store_of_the_installation_page_serves_the_example_pod() {
    let page = fs::read_to_string(top().join("docs/INSTALL.md")).unwrap();
    let block = page.split("```console\n").find(|block| block.contains("latchkey local init")).unwrap();
    let commands = block.split("```").next().unwrap().lines().map(|line| line.strip_prefix("$ ").unwrap());
    // The last one brings what was made to the cluster.
    let script: Vec<&str> = commands.take_while(|command| !command.starts_with("kubectl")).collect();
    let shell = Shell::new();
    ended_well(&shell.run(&script.join("\n")));
    ended_well(&shell.mount("-f examples/pod.yaml -s web"));
}

#[test]
fn the_page_names_every_example() {
    for name in manifests() {
        assert!(page().contains(&format!("| `{name}` |")), "{name} has no row");
        assert!(page().contains(&format!("-f examples/{name} ")), "{name} is not mounted");
    }
    for name in of_local_store() {
        assert!(blocks()[1].contains(&format!("-f examples/{name} ")), "{name} is not mounted by a test");
    }
}

#[cfg(feature = "vault")]
#[test]
fn nothing_is_to_be_said_against_any_example() {
    ended_well(&Shell::new().run("exec latchkey lint examples"));
}

#[cfg(feature = "vault")]
#[test]
fn both_examples_for_vault_read_the_same_objects_into_the_same_files() {
    use latchkey::dialect::native::Native;
    use latchkey::dialect::vault::{Flavour, Vault};
    use latchkey::dialect::{Dialect, Facts};
    use latchkey::model::{Attributes, Catalog, FileMode};

    let environment = |name: &str| (name == "VAULT_ADDR").then(|| "https://vault.corp:8200".to_owned());
    let stores = latchkey::config::parse("", environment).unwrap().stores;
    let catalog = Catalog::new(stores.into_iter().filter_map(|store| match store {
        latchkey::config::Store::Vault(entry) => Some(entry),
        #[cfg(feature = "local")]
        latchkey::config::Store::Local(_) => None,
    }));
    let digests = latchkey::secret::DigestKey::random();
    let facts = Facts { mode: FileMode::DEFAULT, publish: false, digests: &digests };
    let dialects: [(&str, &dyn Dialect); 2] =
        [("vault.yaml", &Vault { flavour: Flavour::Vault }), ("vault-native.yaml", &Native)];
    let plans = dialects.map(|(name, dialect)| {
        let text = fs::read_to_string(top().join("examples").join(name)).unwrap();
        let class = Class::parse_all(&text).unwrap().remove(0);
        assert_eq!(class.provider, dialect.provider());
        let parameters = Attributes::new(class.parameters.into_iter().collect());
        let plan = dialect.parse(&parameters, facts, &catalog).unwrap();
        let files: Vec<_> =
            plan.files().iter().map(|file| (file.path.root().to_string(), file.mode)).collect();
        let requests: BTreeMap<_, _> = plan
            .sources()
            .iter()
            .map(|source| (source.locator.to_string(), source.access.role().map(str::to_owned)))
            .collect();
        (files, requests)
    });
    assert_eq!(plans[0], plans[1]);
    assert_eq!(plans[0].0.len(), 3);
}

#[test]
fn the_example_pod_mounts_the_class_beside_it_as_a_reader() {
    let text = fs::read_to_string(top().join("examples/pod.yaml")).unwrap();
    let class = &Class::parse_all(&text).unwrap()[0];
    let documents = yaml::documents(&text, Limits::PARAMETER).unwrap();
    let find = |path: &str| path.split('/').try_fold(&documents[1], |node, key| node.get(key));
    let text = |path: &str| find(path).and_then(Node::text).map(str::to_owned);
    assert_eq!(text("metadata/namespace"), class.namespace);
    assert_eq!(text("spec/serviceAccountName").as_deref(), Some(account_of("pod.yaml")));
    let volume = &find("spec/volumes").and_then(Node::sequence).unwrap()[0];
    let csi = |path: &str| path.split('/').try_fold(volume, |node, key| node.get(key)).and_then(Node::text);
    assert_eq!(csi("csi/driver"), Some("secrets-store.csi.k8s.io"));
    assert_eq!(csi("csi/readOnly"), Some("true"), "the driver refuses a volume that can be written");
    assert_eq!(csi("csi/volumeAttributes/secretProviderClass"), Some(class.name.as_str()));
}

fn account_of(example: &str) -> &'static str {
    EXPECTED.iter().find(|(name, ..)| *name == example).map(|(_, account, _)| *account).unwrap()
}
