//! What is built in, by cargo's own word. `Cargo.lock` cannot tell: it lists what other systems and features would need.

use std::process::Command;

use crate::layers::source::top;

/// The packages of the program, with their versions, on a system.
fn packages(target: &str) -> Vec<(String, String)> {
    let arguments =
        "tree --locked --offline --edges normal,build --prefix none --no-dedupe --format {p} --target";
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(arguments.split(' ')).arg(target).current_dir(top()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// On what people build on, and on what the image's program is built for.
#[test]
fn there_is_one_tls_library_over_one_crypto_library() {
    for target in ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"] {
        let packages = packages(target);
        for one in ["rustls", "aws-lc-rs", "reqwest", "hyper", "h2"] {
            let versions = packages.iter().filter(|(name, _)| name == one).count();
            assert_eq!(versions, 1, "`{one}` is built in so many versions for {target}");
        }
        let others =
            ["ring", "native-tls", "openssl", "openssl-sys", "boring", "s2n-tls", "mbedtls", "quinn"];
        let found: Vec<_> = packages.iter().filter(|(name, _)| others.contains(&name.as_str())).collect();
        assert!(found.is_empty(), "TLS or crypto beside rustls and aws-lc-rs for {target}: {found:?}");
    }
}
