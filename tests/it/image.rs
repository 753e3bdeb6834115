//! The image's packer and the checker that judges its work, on a program of a few bytes. The real one is packed, judged
//! and started by `tests/run --ring release`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::layers::source::top;

/// A 64-bit ELF file for x86-64 with one program header of that kind, over these bytes.
fn program(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    elf.extend([0; 8]);
    elf.extend(64_u64.to_le_bytes());
    elf.extend([0; 12]);
    for half in [64_u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(kind.to_le_bytes());
    elf.extend([0; 4]);
    elf.extend(120_u64.to_le_bytes());
    elf.extend([0; 16]);
    for _ in ["in the file", "in memory"] {
        elf.extend((bytes.len() as u64).to_le_bytes());
    }
    elf.extend([0; 8]);
    elf.extend(bytes);
    elf
}

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const FIRST: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const SECOND: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nCCCC\n-----END PRIVATE KEY-----\n";

/// A folder with all that goes into an image, and the words that pack it.
struct Bench {
    folder: TempDir,
    words: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program"), program(LOAD, b"works")).unwrap();
        fs::write(folder.path().join("authorities"), format!("A comment\n{FIRST}{SECOND}")).unwrap();
        fs::write(folder.path().join("licence"), "As it is.\n").unwrap();
        let mut bench = Self { folder, words: Vec::new() };
        bench.words = ["--arch".into(), "amd64".into()].into();
        for name in ["program", "authorities"] {
            let path = bench.path(name).display().to_string();
            bench.words.extend([format!("--{name}"), path]);
        }
        for name in ["LICENSE", "third-party.txt", "rust-library.html"] {
            let path = bench.path("licence");
            bench.words.extend(["--file".into(), format!("licences/{name}={}", path.display())]);
        }
        for label in ["title=latchkey", "version=1.2.3", "revision=abc", "licenses=Apache-2.0"] {
            bench.words.extend(["--label".into(), format!("org.opencontainers.image.{label}")]);
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Packs with further words; the last of a kind counts.
    fn pack(&self, name: &str, more: &[&str]) -> PathBuf {
        let out = self.path(name);
        let packed = python("pack").args(&self.words).args(more).arg("--out").arg(&out).output().unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        out
    }
}

/// A script of `image/`, without the compiled form that Python would leave beside it.
fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(top().join("image").join(script));
    command
}

/// What the checker says, and whether it is content.
fn checked(image: &Path) -> (bool, String) {
    let Output { status, stdout, stderr } = python("check").arg("--unstarted").arg(image).output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn the_same_files_are_the_same_image_whatever_their_times_and_order() {
    let bench = Bench::new();
    let first = bench.pack("first.tar", &[]);
    assert_eq!(checked(&first), (true, checked(&first).1));

    let folder = bench.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("1.crt"), SECOND).unwrap();
    fs::write(folder.join("2.crt"), format!("{FIRST}{SECOND}")).unwrap();
    fs::File::open(bench.path("program")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let second = bench.pack("second.tar", &["--authorities", folder.to_str().unwrap()]);
    assert!(fs::read(&first).unwrap() == fs::read(second).unwrap(), "they differ");

    let later = bench.pack("later.tar", &["--created", "1"]);
    assert!(fs::read(&first).unwrap() != fs::read(later).unwrap(), "the time of creation is nowhere");
}

#[test]
fn of_authorities_only_certificates_are_packed() {
    let bench = Bench::new();
    fs::write(bench.path("more"), format!("{SECOND}{KEY}{FIRST}")).unwrap();
    let with_key = bench.pack("key.tar", &["--authorities", bench.path("more").to_str().unwrap()]);
    assert!(
        fs::read(with_key).unwrap() == fs::read(bench.pack("none.tar", &[])).unwrap(),
        "the key is in it"
    );

    fs::write(bench.path("more"), KEY).unwrap();
    let more = bench.path("more").display().to_string();
    let mut command = python("pack");
    command.args(&bench.words).args(["--authorities", &more, "--out", "/dev/null"]);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("no certificate in"));
}

#[test]
fn every_fault_of_an_image_is_found() {
    let bench = Bench::new();
    fs::write(bench.path("empty"), "").unwrap();
    fs::write(bench.path("key"), KEY).unwrap();
    let file = |image: &str, host: &str| format!("--file={image}={}", bench.path(host).display());
    let faults: &[(&str, Vec<String>, &str)] = &[
        (
            "no version",
            vec!["--label=org.opencontainers.image.version=".into()],
            "label org.opencontainers.image.version",
        ),
        ("another architecture", vec!["--arch=arm64".into()], "none of this architecture"),
        ("an unknown one", vec!["--arch=sparc".into()], "another system"),
        ("a file too much", vec![file("etc/passwd", "licence")], "['etc/passwd'] too much or too little"),
        ("an empty file", vec![file("licences/LICENSE", "empty")], "licences/LICENSE is empty"),
        ("a private key", vec![file("licences/LICENSE", "key")], "holds a private key"),
    ];
    for (fault, words, finding) in faults {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (content, said) = checked(&bench.pack("image.tar", &words));
        assert!(!content && said.contains(finding), "{fault}: {said}");
    }
    for (kind, bytes, finding) in [
        (INTERPRETER, &b"/lib64/ld"[..], "needs a loader"),
        (DYNAMIC, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0][..], "needs a shared library"),
        (LOAD, b"panicked at /builds/someone/latchkey/src/main.rs", "of where it was built: /builds/someone"),
        (LOAD, b"\0/opt/cargo/registry/src/mirror.corp-1/age/lib.rs", "of where it was built: /opt/cargo"),
        (LOAD, &[0; 15_000_001], "bytes unpacked, over 15000000"),
    ] {
        fs::write(bench.path("program"), program(kind, bytes)).unwrap();
        let (content, said) = checked(&bench.pack("image.tar", &[]));
        assert!(!content && said.contains(finding), "{finding}: {said}");
    }
}

/// Bytes of the archive itself: the names of its blobs are their digests, and all that refers to them must agree.
#[test]
fn a_byte_that_is_not_as_it_was_packed_is_found() {
    let bench = Bench::new();
    let image = fs::read(bench.pack("image.tar", &[])).unwrap();
    let place = |words: &[u8]| image.windows(words.len()).position(|found| found == words).unwrap();
    for (what, at, finding) in [
        ("the layer", place(b"\x1f\x8b\x08") + 9, "has another digest"),
        ("the configuration", place(b"\"amd64\",\"config\"") + 1, "has another digest"),
        ("the version of the layout", place(b"1.0.0"), "oci-layout is not of version"),
    ] {
        let mut changed = image.clone();
        changed[at] ^= 1;
        fs::write(bench.path("changed.tar"), changed).unwrap();
        let (content, said) = checked(&bench.path("changed.tar"));
        assert!(!content && said.contains(finding), "{what}: {said}");
    }
}
