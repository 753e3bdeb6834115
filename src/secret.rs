//! Bytes that nobody can print: zeroed when the last clone drops, without `Debug`, `Display`, `Serialize`, `Deref`
//! or `Eq`. Not covered, and said in `SECURITY.md`: the buffers of hyper and the kernel's sockets.

use std::fmt;

use aws_lc_rs::hmac;
use bytes::Bytes;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::{Zeroize, Zeroizing};

/// A value, a token or a credential. Cloning shares the bytes.
#[derive(Clone)]
pub struct Secret(Bytes);

impl Secret {
    /// Takes the bytes over; they are zeroed when the last clone drops.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(bytes))
    }

    /// A secret of text, which is moved, not copied.
    pub fn from_text(text: String) -> Self {
        Self::new(Zeroizing::new(text.into_bytes()))
    }

    /// The bytes. Every file that calls this stands in the allow-list of `tests/it/tidy.rs` with its reason.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes without a copy, for the encoder of the answer.
    pub fn share(&self) -> Bytes {
        self.0.clone()
    }

    /// Length in bytes, which is not secret: the answer's size limit needs it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only form of a secret that may be a key of a map, be compared, or be written; `context` tells equal bytes
    /// in two roles apart.
    pub fn digest(&self, key: &DigestKey, context: &[u8]) -> Digest {
        key.digest(&[context, &self.0])
    }

    /// The key that these bytes are.
    pub fn digest_key(&self) -> DigestKey {
        DigestKey::new(&self.0)
    }

    /// HMAC-SHA256 over another secret and this one, one straight after the other, in full.
    pub fn tag_behind(&self, before: &Self, key: &DigestKey) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&key.0);
        context.update(&before.0);
        context.update(&self.0);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// A key for [`Digest`]s. Two processes with the same key make the same digests.
pub struct DigestKey(hmac::Key);

impl DigestKey {
    /// A key from 16 bytes or more, which the caller zeroes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key of this process only.
    pub fn random() -> Self {
        let mut bytes = [0u8; 32];
        fill_random(&mut bytes);
        let key = Self::new(&bytes);
        bytes.zeroize();
        key
    }

    /// HMAC-SHA256 over the parts, each preceded by its length, so that no two lists of parts collide; cut to 16 bytes.
    pub fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Digest::cut(&context.sign())
    }
}

impl DigestKey {
    /// The digest of what a value prints, without making a text of it.
    pub fn digest_of(&self, shown: fmt::Arguments<'_>) -> Digest {
        struct Hashing(hmac::Context);
        impl fmt::Write for Hashing {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.update(text.as_bytes());
                Ok(())
            }
        }
        let mut hashing = Hashing(hmac::Context::with_key(&self.0));
        fmt::Write::write_fmt(&mut hashing, shown).expect("hashing takes any text");
        Digest::cut(&hashing.0.sign())
    }
}

/// Fills the buffer from the system's generator, whose failure ends the process: nothing is safe without it. The
/// library's own generator gathers entropy for 30 ms at its first use, which is most of an agent's start.
#[expect(clippy::panic, reason = "there is no going on without randomness")]
pub fn fill_random(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        match getrandom(&mut buffer[filled..], GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(Errno::INTR) => {}
            Err(error) => panic!("the system's random generator fails: {error}"),
        }
    }
}

/// A keyed digest: says whether two secrets are equal to whoever holds the key, and nothing to anyone else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    fn cut(tag: &hmac::Tag) -> Self {
        let mut cut = [0u8; 16];
        cut.copy_from_slice(&tag.as_ref()[..16]);
        Self(cut)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
