//! The versions of files: those of the upstream providers, so that no volume looks changed when it moves here. The
//! vectors were made with an independent HMAC of the text that upstream hashes.

use std::collections::BTreeMap;

use latchkey::dialect::vault::Flavour;
use latchkey::model::{Fetched, Kind, Material, Part, Plan, VersionKey, render};
use latchkey::secret::{DigestKey, Secret};

use super::{objects, parse, usual};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The version of a plan's one file, whose content is this.
fn version(plan: &Plan, text: &str, key: &[u8]) -> String {
    let secret = || Secret::from_text(text.to_owned());
    let part = Part { version: None, body: secret(), fields: BTreeMap::from([("k".to_owned(), secret())]) };
    let material = Material { parts: vec![part], kind: Kind::Static };
    let got = Fetched::new(plan, vec![Some(material)]).unwrap();
    let rendered = render(plan, &got, &VersionKey(DigestKey::new(key)), usize::MAX).unwrap();
    let [version] = rendered.versions() else { panic!("one file") };
    version.version.clone()
}

const VECTORS: [(&str, &str); 7] = [
    (
        "{objectName: a, secretPath: secret/data/x, secretKey: k}",
        "Fg72s1h8vzmtiPH4CrnIb2O_IUpl1K0Gx37gslh4Naw=",
    ),
    ("{objectName: a}", "WzaW4mKpKND0W182-8iBt4J5Ap_B1PXc8xJeNM41KbA="),
    ("{objectName: a, filePermission: 0644}", "vCQI16CU626VHgYOkyKPnOOVcTqXniSfgisn5bnJK9w="),
    ("{objectName: a, secretArgs: {}}", "bsOYec5iyTOYh_7YgtNFhl5BUYUNZ_LaLPL-A1hL-x4="),
    ("{objectName: a, secretPath: p}", "49-l1VMEviWgW2i28-Znn4bs2G3JvgYXbgsw3cEcsOY="),
    (
        "{objectName: é/x, secretPath: \"secret/data/foo?version=2\", secretKey: k, method: PUT, \
         secretArgs: {ttl: 24h, common_name: x.example.com}, filePermission: 0400, encoding: base64}",
        "1yhQaKnd6ux19olnTdCCw9_ZJ7onIa723IS_Ps6B-3M=",
    ),
    (
        "{objectName: a, secretArgs: {n: 010, s: \"<&>\\u2028é\", f: 1.5, e: 1e3, e2: 1e21, sm: 0.0000001, b: yes, \
         d: 2020-01-02, big: 12345678901234567890, huge: 123456789012345678901234567890}}",
        "V2W5VwdOuEXk2SfMvvPwNLS3ZxZM_FtkhJtY6CcD2OA=",
    ),
];

#[test]
fn a_version_is_the_one_that_upstream_gives_the_same_file() {
    for (object, wanted) in VECTORS {
        let plan = objects(&format!("- {object}")).unwrap();
        let content = if object.contains("base64") { "Y29udGVudA==" } else { "content" };
        assert_eq!(version(&plan, content, KEY), wanted, "{object}");
        let class = [("roleName", "web"), ("objects", &format!("- {object}"))];
        let plan = parse(Flavour::OpenBao, &class, &usual()).unwrap();
        assert_eq!(version(&plan, content, KEY), wanted, "of the other provider: {object}");
    }
}

#[test]
fn a_version_changes_with_the_content_the_key_and_every_field_as_it_is_written() {
    let of = |object: &str, content: &str, key: &[u8]| {
        version(&objects(&format!("- {{objectName: a, secretKey: k{object}}}")).unwrap(), content, key)
    };
    let mut all = vec![of("", "content", KEY), of("", "Content", KEY), of("", "content", &[7; 32])];
    for object in [
        ", method: GET",
        ", encoding: utf-8",
        ", filePermission: 0644",
        ", secretPath: x",
        ", secretPath: /v1/x",
        ", secretArgs: {a: 1}",
        ", secretArgs: {a: \"1\"}",
    ] {
        all.push(of(object, "content", KEY));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    // What upstream does not read changes nothing, and neither does what says nothing.
    for object in [", other: 1", ", method: ~", ", filePermission: 0", ", secretArgs: ~", ", encoding: \"\""]
    {
        assert_eq!(of(object, "content", KEY), of("", "content", KEY), "{object}");
    }
}
