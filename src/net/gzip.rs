//! Answers that a server or a proxy packed although nobody asked for it. Other clients ask, so some do it for all.

use std::io::Read as _;

use flate2::bufread::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::secret::Secret;

/// How many bytes a packed body unpacks to, by its own word; `None` where the headers do not say that it is packed.
pub(super) fn unpacked(headers: &HeaderMap, body: &Secret) -> Option<usize> {
    let encoding = headers.get(CONTENT_ENCODING)?;
    let packed = encoding.as_bytes().eq_ignore_ascii_case(b"gzip") && !body.is_empty();
    let length = packed.then(|| body.share().last_chunk().copied().map_or(0, u32::from_le_bytes))?;
    Some(usize::try_from(length).unwrap_or(usize::MAX))
}

/// Unpacks a body of that length: what is not exactly so long did not come as it was sent.
pub(super) fn unpack(body: &Secret, bytes: usize) -> Result<Secret, Failure> {
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes + 1));
    let packed = body.share();
    let read = GzDecoder::new(&packed[..]).take(bytes as u64 + 1).read_to_end(&mut plain);
    if read.is_ok() && plain.len() == bytes { Ok(Secret::new(plain)) } else { Err(Failure::Truncated) }
}
