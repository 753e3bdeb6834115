//! Files that are no store, no key, or not for us: one clear error each, and no content in it.

use latchkey::app::local::{FILE_BYTES_MAX, Keeper};
use latchkey::error::{Problem, Reason};

use super::{Bench, chmod, refused, subject};

const CANARY: &[u8] = b"canary-7f3a9";

async fn problem(bench: &Bench) -> Problem {
    let problem = refused(bench.read(&subject("web", "app"), "e").await);
    assert_eq!(problem.reason, Reason::Setup, "{problem}");
    assert!(!problem.remedy.is_empty(), "{problem}");
    assert!(!problem.to_string().contains("canary"), "{problem}");
    // The keeper says the same of the same files.
    assert_eq!(refused(Keeper::open(&bench.file(), &bench.identity())), problem);
    problem
}

fn filled() -> Bench {
    let bench = Bench::new();
    bench.set("e", &["web/app"], CANARY);
    bench
}

/// A store whose plaintext is this text, encrypted to the bench's own key.
fn with_plaintext(plain: &str) -> Bench {
    let bench = Bench::new();
    bench.seal(plain);
    bench
}

fn document(entries: &str) -> String {
    format!(r#"{{"format":"latchkey.local/v1","recipients":["age1x"],"entries":{entries}}}"#)
}

#[tokio::test]
async fn a_missing_store_says_how_to_make_one() {
    let bench = filled();
    std::fs::remove_file(bench.file()).unwrap();
    let problem = problem(&bench).await;
    assert_eq!(problem.what, "the store file does not exist");
    assert!(problem.remedy.contains("latchkey local init"));
    assert_eq!(problem.place.hop.as_deref(), bench.file().to_str());
}

#[tokio::test]
async fn a_missing_identity_is_told_by_its_own_name() {
    let bench = filled();
    std::fs::remove_file(bench.identity()).unwrap();
    let problem = problem(&bench).await;
    assert_eq!(problem.what, "the identity file does not exist");
    assert_eq!(problem.place.hop.as_deref(), bench.identity().to_str());
}

#[tokio::test]
async fn a_key_that_others_may_read_or_change_is_refused() {
    let bench = filled();
    for mode in [0o604, 0o602, 0o601, 0o620, 0o644, 0o666] {
        chmod(&bench.identity(), mode);
        let problem = problem(&bench).await;
        assert!(problem.what.contains(&format!("{mode:04o}")), "{problem}");
        assert!(problem.remedy.contains("chmod 0600"));
    }
    for mode in [0o600, 0o400, 0o440] {
        chmod(&bench.identity(), mode);
        assert_eq!(bench.read(&subject("web", "app"), "e").await.unwrap(), CANARY, "{mode:o}");
    }
}

#[tokio::test]
async fn the_key_of_another_store_does_not_open_this_one() {
    let bench = filled();
    let other = filled();
    std::fs::copy(other.identity(), bench.identity()).unwrap();
    assert_eq!(problem(&bench).await.what, "the identity file does not open the store");
}

#[tokio::test]
async fn a_file_cut_short_anywhere_is_no_store() {
    let bench = filled();
    let good = std::fs::read(bench.file()).unwrap();
    for end in (0..good.len()).filter(|end| end % 64 == 0 || good.len() - end < 20) {
        std::fs::write(bench.file(), &good[..end]).unwrap();
        let problem = problem(&bench).await;
        assert!(problem.what.contains("cut short"), "cut at {end}: {problem}");
    }
}

#[tokio::test]
async fn a_file_with_one_bit_changed_anywhere_is_no_store() {
    let bench = filled();
    let good = std::fs::read(bench.file()).unwrap();
    for at in (0..good.len()).step_by(13) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(bench.file(), &bad).unwrap();
        problem(&bench).await;
    }
}

#[tokio::test]
async fn files_that_are_something_else_are_told_as_such() {
    let bench = filled();
    std::fs::write(bench.file(), b"-----BEGIN CANARY canary").unwrap();
    problem(&bench).await;
    std::fs::remove_file(bench.file()).unwrap();
    std::fs::create_dir(bench.file()).unwrap();
    assert!(problem(&bench).await.what.contains("not a regular file"));
    let bench = filled();
    for text in ["canary", "", "# only a comment\n", "age1canary", "AGE-SECRET-KEY-1CANARY"] {
        std::fs::write(bench.identity(), text).unwrap();
        let problem = problem(&bench).await;
        assert_eq!(problem.place.hop.as_deref(), bench.identity().to_str());
    }
}

#[tokio::test]
async fn a_file_over_the_bound_is_not_even_read() {
    let bench = filled();
    std::fs::File::options().write(true).open(bench.file()).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(problem(&bench).await.what.contains("larger than 16777216 bytes"));
}

#[tokio::test]
async fn a_passphrase_is_refused_without_trying_it() {
    let bench = filled();
    let passphrase = age::secrecy::SecretString::from("canary".to_owned());
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(2);
    std::fs::write(bench.file(), age::encrypt(&recipient, b"{}").unwrap()).unwrap();
    assert_eq!(problem(&bench).await.what, "the store file is encrypted to a passphrase");
}

#[tokio::test]
async fn a_later_format_is_told_before_anything_in_it() {
    for plain in [
        r#"{"format":"latchkey.local/v2","vaults":{"canary":1}}"#,
        r#"{"recipients":[],"entries":{}}"#,
        r#"{"format":null}"#,
        r#"["canary"]"#,
    ] {
        let problem = problem(&with_plaintext(plain)).await;
        assert_eq!(problem.what, "the store's content is not of the format `latchkey.local/v1`");
    }
}

#[tokio::test]
async fn content_that_is_no_document_is_told_by_its_position_only() {
    let version = |text: &str| document(&format!(r#"{{"e":{{"readers":[],"versions":[{text}]}}}}"#));
    let created = r#""created":"2026-01-01T00:00:00Z""#;
    let plaintexts = [
        "canary".to_owned(),
        "[[\"canary\"]]".to_owned(),
        document(r#"{"e":"canary"}"#),
        document(r#"{"../canary":{"readers":[],"versions":[]}}"#),
        document(r#"{"e":{"readers":[],"versions":[]}}"#),
        document(r#"{"e":{"readers":[{"namespace":"CANARY","serviceAccount":"*"}],"versions":[]}}"#),
        version(&format!(r#"{{"version":1,{created},"value":"canary!"}}"#)),
        version(&format!(r#"{{"version":1,{created},"value":"\u0063anary=="}}"#)),
        version(&format!(r#"{{"version":0,{created},"value":""}}"#)),
        version(&format!(r#"{{"version":1,{created}}}"#)),
        version(&format!(r#"{{"version":1,{created},"value":"","fields":{{}}}}"#)),
        version(&format!(r#"{{"version":1,{created},"fields":{{"a":"/w=="}}}}"#)),
        version(&format!(r#"{{"version":1,{created},"fields":{{"a":"","a":""}}}}"#)),
        version(&format!(r#"{{"version":1,{created},"value":"","canary":1}}"#)),
        version(r#"{"version":1,"created":"canary","value":""}"#),
        version(&format!(r#"{{"version":2,{created},"value":""}},{{"version":1,{created},"value":""}}"#)),
        document(
            r#"{"e":{"readers":[],"last":1,"versions":[{"version":2,"created":"2026-01-01T00:00:00Z","value":""}]}}"#,
        ),
        document(
            &r#"{"e":1,"e":1}"#.replace(
                '1',
                &format!(r#"{{"readers":[],"versions":[{{"version":1,{created},"value":""}}]}}"#),
            ),
        ),
    ];
    for plain in plaintexts {
        let problem = problem(&with_plaintext(&plain)).await;
        assert_eq!(problem.what, "the store's content is not a `latchkey.local/v1` document", "{plain}");
        assert!(problem.place.at.is_some());
    }
    // The frame of these cases is a good one.
    let good = with_plaintext(&version(&format!(r#"{{"version":1,{created},"value":"Y2FuYXJ5"}}"#)));
    assert_eq!(refused(good.read(&subject("web", "app"), "e").await).reason, Reason::Forbidden);
}

#[tokio::test]
async fn a_document_with_too_many_entries_or_too_large_a_value_is_refused() {
    let created = r#""created":"2026-01-01T00:00:00Z""#;
    let one = format!(r#"{{"readers":[],"versions":[{{"version":1,{created},"value":""}}]}}"#);
    let many: Vec<String> = (0..10_001).map(|number| format!(r#""e{number}":{one}"#)).collect();
    problem(&with_plaintext(&document(&format!("{{{}}}", many.join(","))))).await;
    let large = one.replace(r#""value":"""#, &format!(r#""value":"{}""#, "AAAA".repeat((1 << 20) / 3 + 1)));
    problem(&with_plaintext(&document(&format!(r#"{{"e":{large}}}"#)))).await;
}
