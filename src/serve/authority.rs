//! Lets drivers up to 1.5 in. They name the socket's path as `:authority`, which is no authority to hyper: each of their
//! calls would end in PROTOCOL_ERROR before anything of ours saw it (driver 1.6 sends `localhost`).
//!
//! The filter stands before hyper and replaces the value of a literal `:authority` (name index 1 of HPACK's static table)
//! by `STAND_IN`; nobody behind it reads the name. It keeps neither HPACK's dynamic table nor its Huffman code:
//!
//! * The literal stays what it was, with or without indexing, so both sides add the same entries in the same order.
//! * Indices count from the newest entry, and an entry of one byte is never larger than the one that the client has. What
//!   is still in the client's table is therefore still in the server's, at the same index, whatever the table's size.
//! * Later calls name the entry by its index, and get the stand-in.
//!
//! It looks into HEADERS frames that hold their whole block and neither padding nor priority, as these clients send them.
//! Everything else passes as it came: other frames, larger and broken ones, what is no HTTP/2 at all. Once a connection has
//! called the server `localhost`, nothing of it is looked at any more: a client has one name for its server.

use std::ops::Range;

/// The client's connection preface (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a frame: 24 bits of length, type, flags, 31 bits of stream (RFC 9113 §4.1).
const HEAD: usize = 9;
const HEADERS: u8 = 0x01;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// Longest header block that is looked into, in bytes: as long as a frame that hyper takes.
const BLOCK_BYTES_MAX: usize = 16 << 10;

/// `:authority` in HPACK's static table (RFC 7541, appendix A).
const AUTHORITY: usize = 1;
/// What stands in for a path, as a string of HPACK's: no value that says anything is shorter.
const STAND_IN: [u8; 2] = [1, b'd'];
/// What driver 1.6, our own client, and anyone who knows what an authority is call us: plain, and in Huffman's code.
const LOCALHOST: [&[u8]; 2] = [b"\x09localhost", b"\x86\xa0\xe4\x1d\x13\x9d\x09"];

/// The filter of one connection: bytes of the client go in, and no more come out, in the same order.
///
/// It does no IO. What was read goes through [`Self::pass`] in place; what a HEADERS frame that came in pieces leaves due is
/// taken by [`Self::take`].
pub struct Filter {
    at: At,
    /// A frame that was held until it was whole; its beginning may have been taken already.
    due: Vec<u8>,
    taken: usize,
    replaced: bool,
}

/// Where in the client's stream the next byte stands.
enum At {
    /// So far into the preface.
    Preface(usize),
    /// These bytes into a frame: of its head, or of a HEADERS frame that is not whole yet.
    Frame(Vec<u8>),
    /// So many bytes before the end of a frame that passes as it is.
    Within(usize),
    /// Where nothing is looked at.
    Off,
}

/// The length of a frame's payload, and whether it is looked into.
struct Head {
    payload: usize,
    looked_into: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self { at: At::Preface(0), due: Vec::new(), taken: 0, replaced: false }
    }
}

impl Filter {
    /// Takes bytes of the client. As many as are returned go on, and stand at the beginning of `bytes` then: none while
    /// something is due, since that comes first.
    pub fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let used = self.fill(bytes);
        let rest = &mut bytes[used..];
        let kept = self.run(rest);
        if !self.is_due() {
            return kept;
        }
        self.due.extend_from_slice(&rest[..kept]);
        0
    }

    /// Moves what is due into `to`, as far as there is room; how much that was.
    pub fn take(&mut self, to: &mut [u8]) -> usize {
        let rest = &self.due[self.taken..];
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.due.len() {
            (self.due, self.taken) = (Vec::new(), 0);
        }
        count
    }

    /// Whether something is due.
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The client has ended: half a frame that was held becomes due as it is.
    pub fn end(&mut self) {
        if let At::Frame(held) = &mut self.at {
            self.due.append(held);
        }
    }

    /// Gives a held frame what it lacks, and lets it go once it is whole; how many bytes that took.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let At::Frame(held) = &mut self.at else { return 0 };
        let mut used = 0;
        while !held.is_empty() {
            let lacks = whole(held).saturating_sub(held.len());
            if lacks == 0 {
                self.release();
                break;
            }
            let count = lacks.min(bytes.len() - used);
            if count == 0 {
                break;
            }
            held.extend_from_slice(&bytes[used..used + count]);
            used += count;
        }
        used
    }

    /// A held frame becomes due: one that passes as it is as soon as its head tells.
    fn release(&mut self) {
        let At::Frame(held) = &mut self.at else { return };
        let mut frame = std::mem::take(held);
        match Head::read(&frame) {
            Some(head) if !head.looked_into && head.payload > 0 => self.at = At::Within(head.payload),
            Some(head) if head.looked_into => {
                let length = self.replace(&mut frame);
                frame.truncate(length);
            }
            _ => {}
        }
        self.due.append(&mut frame);
    }

    /// Goes over bytes of which none is held; how many go on.
    fn run(&mut self, bytes: &mut [u8]) -> usize {
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            let (used, passed) = self.step(&mut bytes[read..]);
            if read != kept {
                bytes.copy_within(read..read + passed, kept);
            }
            read += used;
            kept += passed;
        }
        kept
    }

    /// One step over bytes of which none is held: how many it used, and how many of them go on, from the first.
    fn step(&mut self, bytes: &mut [u8]) -> (usize, usize) {
        match &mut self.at {
            At::Off => (bytes.len(), bytes.len()),
            At::Preface(seen) => {
                let count = bytes.len().min(PREFACE.len() - *seen);
                let expected = &PREFACE[*seen..*seen + count];
                *seen += count;
                if bytes[..count] != *expected {
                    self.at = At::Off;
                } else if *seen == PREFACE.len() {
                    self.at = At::Frame(Vec::new());
                }
                (count, count)
            }
            At::Within(left) => {
                let count = bytes.len().min(*left);
                *left -= count;
                if *left == 0 {
                    self.at = At::Frame(Vec::new());
                }
                (count, count)
            }
            At::Frame(held) => match Head::read(bytes) {
                Some(head) if !head.looked_into => {
                    self.at = At::Within(HEAD + head.payload);
                    (0, 0)
                }
                Some(head) if bytes.len() >= HEAD + head.payload => {
                    let whole = HEAD + head.payload;
                    (whole, self.replace(&mut bytes[..whole]))
                }
                _ => {
                    held.extend_from_slice(bytes);
                    (bytes.len(), 0)
                }
            },
        }
    }

    /// Looks into a whole HEADERS frame; its length after that.
    fn replace(&mut self, frame: &mut [u8]) -> usize {
        let Some(value) = authority(&frame[HEAD..]) else { return frame.len() };
        let value = HEAD + value.start..HEAD + value.end;
        if LOCALHOST.contains(&&frame[value.clone()]) {
            if !self.replaced {
                self.at = At::Off;
            }
            return frame.len();
        }
        self.replaced = true;
        let length = frame.len() - value.len() + STAND_IN.len();
        frame.copy_within(value.end.., value.start + STAND_IN.len());
        frame[value.start..][..STAND_IN.len()].copy_from_slice(&STAND_IN);
        let payload = u32::try_from(length - HEAD).unwrap_or_default().to_be_bytes();
        frame[..3].copy_from_slice(&payload[1..]);
        length
    }
}

impl Head {
    /// The head at the beginning of these bytes, where it is whole.
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, ..] = bytes.first_chunk::<HEAD>()?;
        let payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let plain = flags & (END_HEADERS | PADDED | PRIORITY) == END_HEADERS;
        Some(Self { payload, looked_into: kind == HEADERS && plain && payload <= BLOCK_BYTES_MAX })
    }
}

/// How many bytes of a frame are held, of which these are the first: all of one that is looked into.
fn whole(held: &[u8]) -> usize {
    HEAD + Head::read(held).map_or(0, |head| if head.looked_into { head.payload } else { 0 })
}

/// Where the one `:authority` stands in a block that is whole and well-formed: its value with the length before it. None
/// where there is no value, or none that could be replaced by a shorter one.
fn authority(block: &[u8]) -> Option<Range<usize>> {
    let (mut at, mut found) = (0, None);
    while let Some(&first) = block.get(at) {
        let (prefix, literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            // A new size of the table.
            0x20.. => (5, false),
            // Never indexed, and not indexed.
            _ => (4, true),
        };
        let name = integer(block, &mut at, prefix)?;
        if !literal {
            continue;
        }
        if name == 0 {
            string(block, &mut at)?;
        }
        let value = string(block, &mut at)?;
        if name == AUTHORITY && found.replace(value).is_some() {
            return None;
        }
    }
    found.filter(|value| value.len() >= STAND_IN.len())
}

/// An integer (RFC 7541 §5.1) with so many bits in its first byte; none over 2²⁸, which no block of ours could hold.
fn integer(block: &[u8], at: &mut usize, prefix: u32) -> Option<usize> {
    let full = (1 << prefix) - 1;
    let mut value = usize::from(*block.get(*at)?) & full;
    *at += 1;
    if value < full {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(*at)?);
        *at += 1;
        value += (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A string (RFC 7541 §5.2), in whatever code: where it stands, with its length.
fn string(block: &[u8], at: &mut usize) -> Option<Range<usize>> {
    let start = *at;
    let length = integer(block, at, 7)?;
    *at += length;
    (*at <= block.len()).then_some(start..*at)
}
