//! The encryption of a store: binary age files for X25519 recipients. Pure: bytes in, bytes out. Passphrases are
//! refused, since their key derivation takes a quarter of a gigabyte.

use std::io::{Read as _, Write as _};

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, Encryptor, x25519};
use zeroize::Zeroizing;

use crate::error::{Problem, Reason};

/// The keys of an identity file.
pub(super) struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Most keys of one file: during a rotation an agent holds two.
    const COUNT_MAX: usize = 16;

    /// Reads an identity file as `age-keygen` writes it: one key a line, comments after `#`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        const REMEDY: &str = "it holds lines of `AGE-SECRET-KEY-1…`, as `latchkey local init` writes them";
        let wrong = |what: &str| Problem::new(Reason::Setup, what).remedy(REMEDY);
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("the identity file is not text"))?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = line
                .parse()
                .map_err(|_| wrong("the identity file has a line that is no X25519 key").at((number, 1)))?;
            keys.push(key);
        }
        match keys.len() {
            0 => Err(wrong("the identity file holds no key")),
            1..=Self::COUNT_MAX => Ok(Self(keys)),
            _ => Err(wrong("the identity file holds more than 16 keys")),
        }
    }

    /// The public halves.
    pub(super) fn recipients(&self) -> Vec<String> {
        self.0.iter().map(|key| key.to_public().to_string()).collect()
    }
}

/// A new identity file and its public half.
pub(super) fn generate() -> (Zeroizing<Vec<u8>>, String) {
    let key = x25519::Identity::generate();
    let recipient = key.to_public().to_string();
    let secret = key.to_string();
    let parts = ["# public key: ", &recipient, "\n", secret.expose_secret(), "\n"];
    let mut text = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        text.extend_from_slice(part.as_bytes());
    }
    (text, recipient)
}

/// Decrypts a file.
pub(super) fn open(sealed: &[u8], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let decryptor = Decryptor::new_buffered(sealed).map_err(|_| damaged())?;
    if decryptor.is_scrypt() {
        return Err(Problem::new(Reason::Setup, "the store file is encrypted to a passphrase")
            .remedy("make it anew with `latchkey local init`: only an identity file opens a store"));
    }
    let mut reader =
        decryptor.decrypt(identities.0.iter().map(|key| key as &dyn age::Identity)).map_err(|error| {
            if matches!(error, DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed) {
                Problem::new(Reason::Setup, "the identity file does not open the store").remedy(
                    "name the identity that the store was made with, or the one that it was rotated to",
                )
            } else {
                damaged()
            }
        })?;
    // The plaintext is shorter than the file, so this never grows and leaves no copy behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain).map_err(|_| damaged())?;
    Ok(plain)
}

/// Encrypts to every recipient.
pub(super) fn seal(plain: &[u8], recipients: &[String]) -> Result<Vec<u8>, Problem> {
    let wrong = |what: &str| {
        Problem::new(Reason::Setup, what)
            .remedy("drop the recipients other than your own with `latchkey local rotate-key --finish`")
    };
    let recipients: Vec<x25519::Recipient> = recipients
        .iter()
        .map(|text| text.parse().map_err(|_| wrong("the store names a recipient that is no X25519 key")))
        .collect::<Result<_, _>>()?;
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|one| one as &dyn age::Recipient))
        .map_err(|_| wrong("the store cannot be encrypted to the recipients that it names"))?;
    let mut sealed = Vec::with_capacity(plain.len() + plain.len() / 1024 + 4096);
    let written = encryptor.wrap_output(&mut sealed).and_then(|mut writer| {
        writer.write_all(plain)?;
        writer.finish().map(drop)
    });
    written.map_err(|_| Problem::new(Reason::Bug, "a store could not be encrypted in memory"))?;
    Ok(sealed)
}

fn damaged() -> Problem {
    Problem::new(Reason::Setup, "the store file is damaged, cut short, or no store at all")
        .remedy("restore it from a backup, or make it anew with `latchkey local init`")
}
