//! Frames and header blocks as grpc-go sends them, written by a library that is not hyper's.

use httlib_hpack::Encoder;

/// How literals are indexed.
#[derive(Clone, Copy, Default)]
pub(crate) enum Index {
    #[default]
    Added,
    Not,
    Never,
}

/// The encoder of one connection, which finds what it has said before as Go's does.
#[derive(Default)]
pub(crate) struct Writer {
    encoder: Encoder<'static>,
    index: Index,
    /// Without Huffman's code.
    plain: bool,
}

impl Writer {
    pub(super) fn new(index: Index, plain: bool) -> Self {
        Self { index, plain, ..Self::default() }
    }

    /// The block of a Mount by driver 1.5.
    pub(crate) fn call(&mut self, authority: &str, timeout: &str) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/v1alpha1.CSIDriverProvider/Mount"),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-go/1.56.3"),
            ("te", "trailers"),
            ("grpc-timeout", timeout),
        ] {
            let huffman = match name {
                _ if self.plain => 0,
                // Where the code saves nothing, Go leaves it.
                "te" => Encoder::HUFFMAN_VALUE,
                _ => Encoder::HUFFMAN_VALUE | Encoder::HUFFMAN_NAME,
            };
            let index = match self.index {
                Index::Added => Encoder::WITH_INDEXING,
                Index::Not => 0,
                Index::Never => Encoder::NEVER_INDEXED,
            };
            self.field(name, value, Encoder::BEST_FORMAT | index | huffman, &mut block);
        }
        block
    }

    /// Adds one field, with the flags of the library.
    pub(crate) fn field(&mut self, name: &str, value: &str, flags: u8, block: &mut Vec<u8>) {
        let field = (name.as_bytes().to_vec(), value.as_bytes().to_vec(), flags);
        self.encoder.encode(field, block).expect("a field");
    }

    /// Gives the table another size.
    pub(crate) fn resize(&mut self, size: u32, block: &mut Vec<u8>) {
        self.encoder.update_max_dynamic_size(size, block).expect("a size");
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
