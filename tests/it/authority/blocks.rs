//! Ten thousand header blocks by one library, filtered, and read by another and by hyper: they mean the same, but for the
//! authority.

use std::convert::Infallible;
use std::time::Duration;

use httlib_hpack::Encoder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::law::{self, PREFACE, Table, filtered, frames, holds};
use super::wire::{self, Writer, frame};

/// A sequence that is the same at every run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).expect("fits") % bound
    }

    fn text(&mut self, characters: &[u8], most: usize) -> String {
        let length = 1 + self.below(most);
        (0..length).map(|_| char::from(characters[self.below(characters.len())])).collect()
    }
}

/// Fields of one request: what was said, in order.
type Fields = Vec<(String, String)>;

const CONNECTIONS: u64 = 100;
const BLOCKS: u32 = 100;

/// One connection: its bytes, and what each of its blocks says.
fn connection(dice: &mut Dice) -> (Vec<u8>, Vec<Fields>) {
    let mut bytes = [PREFACE, &frame(wire::SETTINGS, 0, 0, b"")].concat();
    let mut writer = Writer::default();
    // Few enough to be said again and found in the table, and long, short and odd.
    let sockets = [dice.text(b"/abz.-_~XQ", 90), dice.text(b"/abz.", 3), dice.text(b"\x01\x02/\x05", 4)];
    let values: Vec<_> = (0..6).map(|_| dice.text(b"abcXYZ012 ~{}\\^", 70)).collect();
    let mut all = Vec::new();
    for number in 0..BLOCKS {
        let mut block = Vec::new();
        if dice.below(12) == 0 {
            writer.resize(u32::try_from(dice.below(4097)).unwrap(), &mut block);
        }
        let mut fields: Fields = vec![
            (":method".into(), "POST".into()),
            (":scheme".into(), "http".into()),
            (":path".into(), format!("/{}", dice.below(5))),
            (":authority".into(), sockets[dice.below(sockets.len())].clone()),
            ("number".into(), number.to_string()),
        ];
        for _ in 0..dice.below(8) {
            let name = format!("x-{}", dice.below(9));
            let said = values[dice.below(values.len())].trim().to_owned();
            let new = dice.text(b"0123456789mS", 12);
            fields.push((name, if dice.below(3) == 0 { new } else { said }));
        }
        for (name, value) in &fields {
            let index = [Encoder::WITH_INDEXING, Encoder::WITH_INDEXING, 0, Encoder::NEVER_INDEXED];
            let mut flags = index[dice.below(4)];
            flags |= [0, Encoder::HUFFMAN_NAME][dice.below(2)] | [0, Encoder::HUFFMAN_VALUE][dice.below(2)];
            // A name that is spelt out is none of the filter's business where it is the authority's.
            if name == ":authority" || dice.below(4) > 0 {
                flags |= Encoder::BEST_FORMAT;
            }
            writer.field(name, value, flags, &mut block);
        }
        let stream = 2 * number + 1;
        bytes.extend(frame(wire::HEADERS, wire::END_HEADERS, stream, &block));
        bytes.extend(frame(wire::DATA, wire::END_STREAM, stream, &vec![7; dice.below(40)]));
        if dice.below(9) == 0 {
            bytes.extend(frame(wire::PING, 0, 0, &[1; 8]));
        }
        all.push(fields);
    }
    (bytes, all)
}

/// As the server is to read it.
fn replaced(fields: &Fields) -> Fields {
    let value =
        |name: &str, value: &String| if name == ":authority" { "d".to_owned() } else { value.clone() };
    fields.iter().map(|(name, said)| (name.clone(), value(name, said))).collect()
}

#[test]
fn ten_thousand_blocks_mean_the_same_but_for_the_authority() {
    let (mut blocks, mut literal) = (0, 0);
    for seed in 0..CONNECTIONS {
        let mut dice = Dice::new(seed);
        let (bytes, said) = connection(&mut dice);
        let most = 1 + dice.below(300);
        let out = filtered(&bytes, || 1 + dice.below(most));
        let mut table = Table::default();
        let (before, after) = (frames(&bytes[PREFACE.len()..]), frames(&out[PREFACE.len()..]));
        let headers = before.iter().zip(&after).filter(|(was, _)| was.kind() == law::HEADERS);
        for ((was, is), fields) in headers.zip(&said) {
            let read = table.read(&is.bytes[9..]).unwrap_or_else(|| panic!("connection {seed}: {fields:?}"));
            let read: Fields = read
                .into_iter()
                .map(|(name, value)| (String::from_utf8(name).unwrap(), String::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(read, replaced(fields), "connection {seed}");
            blocks += 1;
            literal += usize::from(was.bytes.len() != is.bytes.len());
        }
        if seed % 10 == 0 {
            holds(&bytes, || 1 + dice.below(most));
        }
    }
    assert_eq!(blocks, 10_000);
    // Said anew since it was evicted or not kept, and named by its index.
    assert!((3_000..9_500).contains(&literal), "{literal} of them spell the authority out");
}

#[tokio::test]
async fn hyper_reads_the_same_ten_thousand_requests() {
    for seed in 0..CONNECTIONS {
        let mut dice = Dice::new(seed);
        let (bytes, said) = connection(&mut dice);
        let out = filtered(&bytes, || 1 + dice.below(500));
        let mut got = serve(out, said.len()).await;
        got.sort();
        assert_eq!(got.len(), said.len(), "connection {seed}: not every request came");
        for ((_, mut got), said) in got.into_iter().zip(&said) {
            let mut wanted = replaced(said);
            wanted.retain(|(name, _)| name != ":scheme" && name != ":method");
            wanted.sort();
            got.sort();
            assert_eq!(got, wanted, "connection {seed}");
        }
    }
}

/// Serves a connection that sends these bytes, and ends once so many requests came: an end before that would make hyper
/// forget those that it has not begun. Each request's number and fields.
async fn serve(bytes: Vec<u8>, count: usize) -> Vec<(usize, Fields)> {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (seen, mut requests) = mpsc::unbounded_channel();
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut fields: Fields = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let number = request.headers()["number"].to_str().unwrap().parse().unwrap();
        fields.push((":path".into(), request.uri().path().to_owned()));
        fields.push((":authority".into(), request.uri().authority().unwrap().to_string()));
        seen.send((number, fields)).unwrap();
        async { Ok::<_, Infallible>(hyper::Response::new(String::new())) }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(server), service);
    let (mut from, mut to) = tokio::io::split(client);
    let sent = async {
        to.write_all(&bytes).await.unwrap();
        let mut got = Vec::new();
        // One that hyper refuses never comes.
        while got.len() < count
            && let Ok(Some(request)) = tokio::time::timeout(Duration::from_secs(30), requests.recv()).await
        {
            got.push(request);
        }
        drop(to.shutdown().await);
        got
    };
    let answers = async { drop(from.read_to_end(&mut Vec::new()).await) };
    let (_, got, ()) = tokio::join!(served, sent, answers);
    got
}
