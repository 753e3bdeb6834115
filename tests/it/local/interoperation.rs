//! The file is an ordinary age file: age's own tools open it and make one.

use age::secrecy::ExposeSecret as _;

use super::{Bench, adding, chmod, entry, fields, subject};

#[test]
fn age_opens_what_the_keeper_wrote() {
    let bench = Bench::new();
    bench.set("prod/db", &["web/*"], b"\x00v");
    bench.keeper.set(&entry("f"), &adding(&[]), Some(fields(&[("user", b"bob")]))).unwrap();
    let identities = age::IdentityFile::from_file(bench.identity().to_str().unwrap().to_owned()).unwrap();
    let [identity] = <[_; 1]>::try_from(identities.into_identities().unwrap()).ok().unwrap();
    let sealed = std::fs::read(bench.file()).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    let mut plain = Vec::new();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    std::io::Read::read_to_end(&mut decryptor.decrypt(std::iter::once(&*identity as _)).unwrap(), &mut plain)
        .unwrap();
    let document: serde_json::Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(document["format"], "latchkey.local/v1");
    assert!(document["recipients"][0].as_str().unwrap().starts_with("age1"));
    let db = &document["entries"]["prod/db"];
    assert_eq!(db["readers"], serde_json::json!([{ "namespace": "web", "serviceAccount": "*" }]));
    assert_eq!((&db["versions"][0]["version"], &db["versions"][0]["value"]), (&1.into(), &"AHY=".into()));
    assert_eq!(document["entries"]["f"]["versions"][0]["fields"], serde_json::json!({ "user": "Ym9i" }));
}

#[tokio::test]
async fn the_store_opens_what_age_wrote_and_the_keeper_writes_on() {
    let bench = Bench::new();
    let key = age::x25519::Identity::generate();
    std::fs::write(bench.identity(), format!("# mine\n\n{}\n", key.to_string().expose_secret())).unwrap();
    chmod(&bench.identity(), 0o600);
    let plain = format!(
        r#"{{ "format": "latchkey.local/v1", "recipients": ["{}"], "entries": {{ "e": {{
            "readers": [{{ "namespace": "team-*", "serviceAccount": "*" }}],
            "versions": [{{ "version": 3, "created": "2026-01-01T00:00:00+02:00", "value": "dg==" }}] }} }} }}"#,
        key.to_public()
    );
    bench.seal(&plain);
    assert_eq!(bench.read(&subject("team-a", "app"), "e").await.unwrap(), b"v");
    bench.set("e", &[], b"w");
    let answers = bench.fetch(&subject("team-a", "app"), &[super::pinned("e", 4)]).await;
    assert_eq!(super::whole(answers[0].as_ref().ok().unwrap()), b"w");
}

#[test]
fn a_store_that_was_encrypted_to_us_but_names_others_is_not_written_until_that_is_mended() {
    let bench = Bench::new();
    let other = age::x25519::Identity::generate().to_public();
    let plain = format!(r#"{{"format":"latchkey.local/v1","recipients":["{other}"],"entries":{{}}}}"#);
    bench.seal(&plain);
    let content = || Some(latchkey::app::local::Content::Value(zeroize::Zeroizing::new(b"v".to_vec())));
    let problem = super::refused(bench.keeper.set(&entry("e"), &adding(&[]), content()));
    assert!(problem.remedy.contains("--finish"), "{problem}");
    assert_eq!(bench.keeper.finish_rotation().unwrap(), [bench.key().to_public().to_string()]);
    bench.keeper.set(&entry("e"), &adding(&[]), content()).unwrap();
}
