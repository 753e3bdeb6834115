//! The filter that lets drivers up to 1.5 in: what it makes of blocks that others write and read, and of any bytes at all.

mod blocks;
mod law;
mod mutants;
pub(crate) mod wire;

use law::{PREFACE, Table, filtered, frames};
use wire::{Index, Writer, frame};

/// The path of the capture: of a block with it, driver 1.5's first one, it is known that it has 119 bytes.
const SOCKET: &str = "/var/run/secrets-store-csi-providers/rsniff.sock";

/// A connection with these HEADERS frames.
fn connection(blocks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [PREFACE, &frame(wire::SETTINGS, 0, 0, b"")].concat();
    for (block, stream) in blocks.iter().zip((1..).step_by(2)) {
        bytes.extend(frame(wire::HEADERS, wire::END_HEADERS, stream, block));
    }
    bytes
}

/// What the server decodes of each HEADERS frame.
fn decoded(bytes: &[u8]) -> Vec<Vec<law::Field>> {
    let mut table = Table::default();
    let behind = bytes.strip_prefix(PREFACE).unwrap();
    let blocks = frames(behind).into_iter().filter(|frame| frame.kind() == wire::HEADERS);
    blocks.map(|frame| table.read(&frame.bytes[9..]).expect("a block that can be read")).collect()
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    filtered(bytes, || usize::MAX)
}

#[test]
fn the_block_of_a_captured_driver_1_5_gets_the_stand_in_and_so_do_those_that_name_it_by_index() {
    let mut writer = Writer::default();
    let first = writer.call(SOCKET, "119987m");
    assert_eq!(first.len(), 119, "not the block that was captured");
    let second = writer.call(SOCKET, "119980m");
    assert!(second.len() < 20, "the second call says everything anew");
    let bytes = connection(&[&first, &second]);
    let out = whole(&bytes);
    for (fields, timeout) in decoded(&out).iter().zip(["119987m", "119980m"]) {
        let value = |name: &str| {
            let found = fields.iter().find(|(other, _)| other == name.as_bytes());
            String::from_utf8(found.expect(name).1.clone()).unwrap()
        };
        assert_eq!((value(":authority"), value("grpc-timeout")), ("d".to_owned(), timeout.to_owned()));
        assert_eq!(value(":path"), "/v1alpha1.CSIDriverProvider/Mount");
    }
}

#[test]
fn localhost_in_either_spelling_ends_the_looking_for_good() {
    for plain in [true, false] {
        let mut writer = Writer::new(Index::Added, plain);
        let good = writer.call("localhost", "1S");
        let path = writer.call(SOCKET, "2S");
        let bytes = connection(&[&good, &path]);
        assert_eq!(whole(&bytes), bytes, "something is looked at behind `localhost`");
        // Where a path came first, nobody is let go.
        let mut writer = Writer::new(Index::Added, plain);
        let blocks = [writer.call(SOCKET, "1S"), writer.call("localhost", "2S"), writer.call("/other", "3S")];
        let bytes = connection(&[&blocks[0], &blocks[1], &blocks[2]]);
        let authorities: Vec<_> =
            decoded(&whole(&bytes)).into_iter().map(|fields| fields[3].1.clone()).collect();
        assert_eq!(authorities, [&b"d"[..], b"localhost", b"d"]);
    }
}

#[test]
fn a_value_of_any_length_is_replaced_by_one_that_is_no_longer() {
    // The last is two characters in nine bytes: what is long on the wire may be short in the table.
    for path in ["/", "/a", "/a.sock", "/run/x.sock", &"/deep".repeat(100), "\u{1}\u{2}"] {
        for index in [Index::Added, Index::Not, Index::Never] {
            let mut writer = Writer::new(index, false);
            let bytes = connection(&[&writer.call(path, "1S")]);
            let out = whole(&bytes);
            assert_eq!(decoded(&out)[0][3], (b":authority".to_vec(), b"d".to_vec()), "{path:?}");
            assert!(out.len() <= bytes.len());
        }
    }
}

#[test]
fn what_is_not_as_these_clients_send_it_passes_as_it_came() {
    let block = Writer::default().call(SOCKET, "1S");
    let half = block.len() / 2;
    let twice = [&block[..], &block].concat();
    let cut = &block[..block.len() - 1];
    let long = [&block[..], &vec![0x82; 16 << 10]].concat();
    let empty = b"\x83\x86\x41\x00";
    let padded = [&[3][..], &block, &[0; 3]].concat();
    let priority = [&[0, 0, 0, 0, 16][..], &block].concat();
    let plain = |flags, payload: &[u8]| frame(wire::HEADERS, flags, 1, payload);
    for (what, frames) in [
        ("an authority twice", plain(4, &twice)),
        ("a block that breaks off", plain(4, cut)),
        ("an integer without an end", plain(4, &[&block[..], &[0xff; 9]].concat())),
        ("a block over the bound", plain(4, &long)),
        ("an empty authority", plain(4, empty)),
        ("padding", plain(4 | 8, &padded)),
        ("priority", plain(4 | 32, &priority)),
        ("continuation", [plain(0, &block[..half]), frame(9, 4, 1, &block[half..])].concat()),
        ("another kind of frame", frame(5, 4, 1, &block)),
        ("data", frame(0, 4, 1, &block)),
    ] {
        let bytes = [PREFACE, &frames].concat();
        assert_eq!(whole(&bytes), bytes, "{what}");
        let good = plain(4, &block);
        let after = [&bytes[..], &good].concat();
        assert_eq!(whole(&after)[..bytes.len()], bytes[..], "{what}");
        assert!(whole(&after).len() < after.len(), "behind {what} nothing is looked at any more");
    }
    let other = [b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n", &plain(4, &block)[..]].concat();
    assert_eq!(whole(&other), other, "another preface");
}
