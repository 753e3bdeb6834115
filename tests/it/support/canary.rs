//! Strings that stand for secrets, each in the world once, and the search for them in whatever came out: as they are,
//! in base64 at any alignment, in hexadecimal, percent-escaped, JSON-escaped, or as a list of numbers.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use latchkey::clock::Clock;
use latchkey::model::locator::vault;
use latchkey::model::{Kind, Lease, LeaseId, Locator};
use latchkey::net;
use latchkey::secret::{DigestKey, Secret, fill_random};

/// One secret and what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    /// What a failing test calls it.
    pub(crate) name: String,
    /// Letters and digits only: no escaping changes it, and whatever carries the secret carries this.
    pub(crate) core: String,
}

impl Canary {
    pub(crate) fn new(name: &str) -> Self {
        let mut random = [0u8; 18];
        fill_random(&mut random);
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let core = random.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()]));
        Self { name: name.to_owned(), core: format!("cnry{}", core.collect::<String>()) }
    }

    /// A value around it with everything that an encoder may escape.
    pub(crate) fn value(&self) -> String {
        format!("<\"{}\\&/+%\u{e9}\n>", self.core)
    }

    /// How the text holds it; `None` where it does not.
    pub(crate) fn found(&self, text: &[u8]) -> Option<&'static str> {
        self.forms().into_iter().find(|(_, form)| contains(text, form.as_bytes())).map(|(how, _)| how)
    }

    fn forms(&self) -> Vec<(&'static str, String)> {
        let bytes = self.core.as_bytes();
        let each = |format: fn(&mut String, u8)| {
            let mut out = String::new();
            bytes.iter().for_each(|byte| format(&mut out, *byte));
            out
        };
        let mut forms = vec![
            ("as it is", self.core.clone()),
            ("hexadecimal", each(|out, byte| write!(out, "{byte:02x}").unwrap())),
            ("hexadecimal", each(|out, byte| write!(out, "{byte:02X}").unwrap())),
            ("percent-escaped", each(|out, byte| write!(out, "%{byte:02x}").unwrap())),
            ("percent-escaped", each(|out, byte| write!(out, "%{byte:02X}").unwrap())),
            ("JSON-escaped", each(|out, byte| write!(out, "\\u{byte:04x}").unwrap())),
            ("JSON-escaped", each(|out, byte| write!(out, "\\u{byte:04X}").unwrap())),
            ("a list of numbers", each(|out, byte| write!(out, "{byte}, ").unwrap())),
            ("a list of numbers", each(|out, byte| write!(out, "{byte},").unwrap())),
        ];
        for skip in 0..3 {
            let whole = &bytes[skip..];
            let whole = &whole[..whole.len() / 3 * 3];
            forms.push(("base64", STANDARD_NO_PAD.encode(whole)));
            forms.push(("base64", URL_SAFE_NO_PAD.encode(whole)));
        }
        for (_, form) in &mut forms {
            form.truncate(form.trim_end_matches([',', ' ']).len());
        }
        forms
    }
}

/// Fails where any of the canaries is in any of the texts: `sinks` are what the texts are and the texts.
pub(crate) fn assert_silent(canaries: &[Canary], sinks: &[(&str, Vec<u8>)]) {
    let mut found = Vec::new();
    for (sink, text) in sinks {
        for canary in canaries {
            if let Some(how) = canary.found(text) {
                found.push(format!("{} is in {sink}, {how}", canary.name));
            }
        }
    }
    assert!(found.is_empty(), "secrets got out:\n{}", found.join("\n"));
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[test]
fn a_canary_is_found_in_every_spelling_and_nowhere_else() {
    let canary = Canary::new("a test's");
    let value = canary.value();
    let json = serde_json::to_string(&value).unwrap();
    let spellings: [(&str, String); 9] = [
        ("as it is", format!("x{value}y")),
        ("as it is", json),
        ("as it is", format!("{value:?}")),
        ("hexadecimal", value.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ("percent-escaped", value.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        ("JSON-escaped", value.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect()),
        ("a list of numbers", format!("{:?}", value.as_bytes())),
        ("base64", STANDARD_NO_PAD.encode(&value)),
        ("base64", URL_SAFE_NO_PAD.encode(format!("{{\"a\":\"{value}\"}}"))),
    ];
    for (how, text) in spellings {
        assert_eq!(canary.found(text.as_bytes()), Some(how), "{text}");
    }
    for shift in 0..3 {
        let text = STANDARD_NO_PAD.encode(format!("{}{value}", &"123"[..shift]));
        assert_eq!(canary.found(text.as_bytes()), Some("base64"), "shifted by {shift}");
    }
    assert_eq!(canary.found(Canary::new("another").value().as_bytes()), None);
    assert_eq!(canary.found(&canary.core.as_bytes()[..10]), None);
}

/// What `Debug` prints is a way out like any other: into a log, an error, a failing assertion.
#[test]
fn debug_prints_no_secret() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its `Debug` is looked at")]
    struct Leak(String);

    let canary = Canary::new("a secret");
    assert_eq!(canary.found(format!("{:?}", Leak(canary.value())).as_bytes()), Some("as it is"), "the plant");

    let key = DigestKey::random();
    let secret = || Secret::from_text(canary.value());
    let args = vault::Args::new(secret(), &key);
    let locator =
        Locator::Vault(vault::Locator { method: "PUT".into(), path: "pki/issue/x".into(), args: Some(args) });
    let kind = Kind::Leased(Lease {
        id: LeaseId(secret()),
        granted: Duration::from_secs(60),
        renewable: true,
        issued: Clock::system().now(),
    });
    let proxy = Some(format!("http://user:{}@proxy.corp:3128", canary.core));
    let net = net::Config { https_proxy: proxy.clone(), http_proxy: proxy, ..net::Config::default() };
    let printed = format!("{locator:?} {locator} {kind:?} {net:?} {:?}", secret().digest(&key, b"x"));
    assert_silent(&[canary], &[("what `Debug` and `Display` print", printed.into_bytes())]);
}
