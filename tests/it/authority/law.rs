//! What the filter promises of any bytes whatever, and of header blocks that another library can read. The tests and the
//! fuzzer call the same function.

use latchkey::serve::authority::Filter;
use loona_hpack::Decoder;

/// What the filter makes of these bytes, given in pieces whose sizes `cut` tells; what is due is taken in pieces too.
pub(crate) fn filtered(bytes: &[u8], mut cut: impl FnMut() -> usize) -> Vec<u8> {
    let (mut filter, mut out, mut rest) = (Filter::default(), Vec::new(), bytes);
    let take = |filter: &mut Filter, out: &mut Vec<u8>, size: usize| {
        let mut room = vec![0; size];
        while filter.is_due() {
            let count = filter.take(&mut room);
            assert!(count > 0, "something is due and not given");
            out.extend_from_slice(&room[..count]);
        }
    };
    while !rest.is_empty() {
        let size = cut().clamp(1, rest.len());
        let (piece, later) = rest.split_at(size);
        let mut piece = piece.to_vec();
        let kept = filter.pass(&mut piece);
        assert!(kept == 0 || !filter.is_due(), "something newer overtakes what is due");
        out.extend_from_slice(&piece[..kept]);
        // Now and then what is due waits, and what comes later must wait behind it.
        if size % 3 > 0 {
            take(&mut filter, &mut out, size);
        }
        rest = later;
    }
    filter.end();
    take(&mut filter, &mut out, 4096);
    out
}

/// Checks every promise over one stream of bytes; `cut` tells the sizes of the pieces.
pub(crate) fn holds(bytes: &[u8], cut: impl FnMut() -> usize) {
    let out = filtered(bytes, || usize::MAX);
    assert!(out == filtered(bytes, cut), "the pieces in which bytes come change what they become");
    assert!(out.len() <= bytes.len(), "more comes out than went in");
    assert!(out == filtered(&out, || usize::MAX), "a second filter changes what the first one has left");
    let (Some(before), Some(after)) = (bytes.strip_prefix(PREFACE), out.strip_prefix(PREFACE)) else {
        assert!(out == bytes, "what is no HTTP/2 is changed");
        return;
    };
    let (before, after) = (frames(before), frames(after));
    assert_eq!(before.len(), after.len(), "the number of frames");
    let (mut client, mut server) = (Some(Table::default()), Table::default());
    for (was, is) in before.iter().zip(&after) {
        let headers = was.whole && was.kind() == HEADERS;
        assert!(was.bytes == is.bytes || headers && was.bytes[3..9] == is.bytes[3..9], "a frame is changed");
        // Only while the stream can be read at all: what a broken block leaves in the table is nobody's promise.
        let Some(table) =
            client.as_mut().filter(|_| was.whole && matches!(was.kind(), HEADERS | CONTINUATION))
        else {
            continue;
        };
        if was.kind() == CONTINUATION || was.bytes[4] & (END_HEADERS | PADDED | PRIORITY) != END_HEADERS {
            assert_eq!(was.bytes, is.bytes, "a block that is not whole is changed");
            client = None;
            continue;
        }
        match table.read(&was.bytes[9..]) {
            Some(fields) => {
                let got =
                    server.read(&is.bytes[9..]).expect("a block that could be read can be read no more");
                same(&fields, &got);
            }
            None => client = None,
        }
    }
}

/// The same fields, but for the value of `:authority`.
pub(crate) fn same(were: &[Field], are: &[Field]) {
    assert_eq!(were.len(), are.len(), "{were:?} {are:?}");
    for (was, is) in were.iter().zip(are) {
        assert_eq!(was.0, is.0, "{were:?} {are:?}");
        let replaced = was.0 == b":authority" && is.1 == b"d";
        assert!(was.1 == is.1 || replaced, "{were:?} {are:?}");
    }
}

/// Name and value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// A decoder that is not the one of hyper.
#[derive(Default)]
pub(crate) struct Table(Decoder<'static>);

impl Table {
    /// The fields of a block; None where it is broken.
    pub(crate) fn read(&mut self, block: &[u8]) -> Option<Vec<Field>> {
        self.0.decode(block).ok()
    }
}

/// A frame, or what there is of the last one.
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) whole: bool,
}

impl Frame<'_> {
    pub(crate) fn kind(&self) -> u8 {
        self.bytes[3]
    }
}

/// The frames behind a preface.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = match bytes {
            [a, b, c, ..] => 9 + usize::from(*c) + (usize::from(*b) << 8) + (usize::from(*a) << 16),
            _ => usize::MAX,
        };
        let (frame, rest) = bytes.split_at(length.min(bytes.len()));
        all.push(Frame { bytes: frame, whole: frame.len() == length });
        bytes = rest;
    }
    all
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
