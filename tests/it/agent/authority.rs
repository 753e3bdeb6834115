//! Drivers up to 1.5, which name the socket's path as `:authority`, over the real socket. The frames are those of the real
//! drivers' capture, byte by byte, with a class of ours in them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use latchkey::proto::{MountRequest, MountResponse};
use loona_hpack::Decoder;
use prost::Message as _;

use crate::authority::wire::{self, Writer, frame};
use crate::support::agent::{Agent, ask, shipped};

const TOKEN: &str = "token: { store: local, path: web/token }\n";
/// The path that was captured; the agent does not care whether it is its own.
const SOCKET: &str = "/var/run/secrets-store-csi-providers/rsniff.sock";

/// A client of grpc-go's kind, with a path for an authority.
struct OldDriver {
    stream: UnixStream,
    writer: Writer,
    decoder: Decoder<'static>,
    authority: String,
    next: u32,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With this `grpc-status`, and a message.
    Status(String, Vec<u8>),
    /// Reset, with HTTP/2's code.
    Reset(u32),
}

impl OldDriver {
    fn connect(agent: &Agent, authority: &str) -> Self {
        let stream = UnixStream::connect(agent.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut driver = Self {
            stream,
            writer: Writer::default(),
            decoder: Decoder::default(),
            authority: authority.to_owned(),
            next: 1,
        };
        driver.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        driver.send(&frame(wire::SETTINGS, 0, 0, b""));
        driver
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The two frames of a call.
    fn call(&mut self, request: &MountRequest, timeout: &str) -> [Vec<u8>; 2] {
        let block = self.writer.call(&self.authority, timeout);
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let data = [&[0], &length[..], &message].concat();
        let stream = self.next;
        self.next += 2;
        [
            frame(wire::HEADERS, wire::END_HEADERS, stream, &block),
            frame(wire::DATA, wire::END_STREAM, stream, &data),
        ]
    }

    /// The end of the call that was sent last.
    fn end(&mut self) -> End {
        let stream = self.next - 2;
        let (mut body, mut status) = (Vec::new(), None);
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).unwrap();
            let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
            self.stream.read_exact(&mut payload).unwrap();
            match kind {
                wire::SETTINGS if flags & wire::ACK == 0 => {
                    self.send(&frame(wire::SETTINGS, wire::ACK, 0, b""));
                }
                wire::PING if flags & wire::ACK == 0 => {
                    self.send(&frame(wire::PING, wire::ACK, 0, &payload));
                }
                wire::GOAWAY => panic!("the connection is given up: {payload:?}"),
                wire::RST_STREAM => {
                    return End::Reset(u32::from_be_bytes(payload[..4].try_into().unwrap()));
                }
                wire::HEADERS => {
                    let fields = self.decoder.decode(&payload).expect("a block");
                    let found = fields.into_iter().find(|(name, _)| name == b"grpc-status");
                    status = found.map(|(_, value)| String::from_utf8(value).unwrap()).or(status);
                }
                wire::DATA => body.extend(payload),
                _ => {}
            }
            if matches!(kind, wire::HEADERS | wire::DATA) && flags & wire::END_STREAM > 0 {
                assert_eq!(u32::from_be_bytes([s0, s1, s2, s3]), stream, "another call's end");
                return End::Status(status.expect("a status"), body.split_off(5.min(body.len())));
            }
            // What was answered makes room for what comes: a window of the connection's.
            if kind == wire::DATA && !body.is_empty() {
                let read = u32::from_be_bytes([0, a, b, c]).to_be_bytes();
                self.send(&frame(wire::WINDOW_UPDATE, 0, 0, &read));
            }
        }
    }

    /// Asks for the token's volume; the file that came.
    fn mount(&mut self, timeout: &str) -> Vec<u8> {
        let frames = self.call(&ask("app", &[("secrets", TOKEN)]), timeout);
        self.send(&frames.concat());
        file(self.end())
    }
}

/// The one file of an answer.
fn file(end: End) -> Vec<u8> {
    let End::Status(status, message) = end else { panic!("no answer: {end:?}") };
    assert_eq!(status, "0");
    let answer = MountResponse::decode(&message[..]).unwrap();
    assert_eq!(answer.files.len(), 1);
    answer.files[0].contents.to_vec()
}

#[test]
fn a_driver_up_to_1_5_mounts_again_and_again_over_one_connection() {
    let agent = Agent::start(shipped());
    let mut driver = OldDriver::connect(&agent, SOCKET);
    let mut spelt = 0;
    for number in 0..300 {
        // Another time at each call, as kubelet leaves less and less: each is an entry of the table, and pushes others out.
        let frames = driver.call(&ask("app", &[("secrets", TOKEN)]), &format!("{}m", 119_987 - number));
        if number == 0 {
            assert_eq!(frames[0].len(), 9 + 119, "not the frame that was captured");
        }
        spelt += usize::from(frames[0].len() > 9 + 40);
        driver.send(&frames.concat());
        assert_eq!(file(driver.end()), b"s3cr3t-token", "mount {number}");
    }
    assert!((2..100).contains(&spelt), "the path was sent {spelt} times: nothing was pushed out");
    assert_eq!(agent.figure("latchkey_mounts_total{"), 300.0);
}

#[test]
fn whatever_the_path_the_call_is_answered() {
    let agent = Agent::start(shipped());
    for path in ["/", "/a", "/run/x.sock", "/with space/and~tilde.sock", &"/deep".repeat(20), "localhost"] {
        assert_eq!(OldDriver::connect(&agent, path).mount("90S"), b"s3cr3t-token", "{path}");
    }
}

#[test]
fn a_frame_that_comes_in_pieces_is_answered_once_it_is_there() {
    let agent = Agent::start(shipped());
    for at in [1, 8, 9, 10, 60, 127] {
        let mut driver = OldDriver::connect(&agent, SOCKET);
        let [headers, data] = driver.call(&ask("app", &[("secrets", TOKEN)]), "119987m");
        driver.send(&headers[..at]);
        // Time for the first piece to be read by itself.
        assert_eq!(OldDriver::connect(&agent, SOCKET).mount("90S"), b"s3cr3t-token");
        driver.send(&headers[at..]);
        driver.send(&data);
        assert_eq!(file(driver.end()), b"s3cr3t-token", "cut at {at}");
        for byte in driver.call(&ask("app", &[("secrets", TOKEN)]), "119986m").concat() {
            driver.send(&[byte]);
        }
        assert_eq!(file(driver.end()), b"s3cr3t-token");
    }
}

#[test]
fn what_the_filter_leaves_alone_is_hypers_to_refuse() {
    let agent = Agent::start(shipped());
    let mut driver = OldDriver::connect(&agent, "localhost");
    assert_eq!(driver.mount("90S"), b"s3cr3t-token");
    // Nobody names two authorities on a connection; if somebody did, it would be refused, and harm no other call.
    driver.authority = SOCKET.to_owned();
    let frames = driver.call(&ask("app", &[("secrets", TOKEN)]), "90S");
    driver.send(&frames.concat());
    assert_eq!(driver.end(), End::Reset(1));
    driver.authority = "localhost".to_owned();
    assert_eq!(driver.mount("90S"), b"s3cr3t-token");
}
