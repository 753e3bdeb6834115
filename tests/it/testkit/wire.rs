//! HTTP/1.1 of one connection, by hand: no library would break the rules as the faults have to.

use std::future::pending;
use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Manner, Reply, Request, Shared};

/// Serves until the client is gone or an answer ends the connection.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    number: usize,
    shared: &Shared,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A reset goes out when the socket is closed, by whoever owns it last.
    let raw = rustix::io::dup(&stream)?;
    let resetting = move || set_socket_linger(&raw, Some(Duration::ZERO));
    match tls {
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            let session = stream.get_ref().1;
            let sni = session.server_name().map(str::to_owned);
            let shown = session.peer_certificates().and_then(|chain| chain.first()).map(|own| own.to_vec());
            speak(BufReader::new(stream), resetting, &Peer { number, sni, shown }, shared).await
        }
        None => {
            speak(BufReader::new(stream), resetting, &Peer { number, sni: None, shown: None }, shared).await
        }
    }
}

/// What is known of a connection before its first request.
struct Peer {
    number: usize,
    sni: Option<String>,
    shown: Option<Vec<u8>>,
}

async fn speak<S>(
    mut stream: BufReader<S>,
    resetting: impl Fn() -> rustix::io::Result<()>,
    peer: &Peer,
    shared: &Shared,
) -> io::Result<()>
where
    S: tokio::io::AsyncRead + AsyncWrite + Unpin,
{
    // A client that begins with TLS where there is none is told so in plain text, as HTTP servers do.
    if stream.fill_buf().await?.first() == Some(&TLS_HANDSHAKE) {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
        return stream.shutdown().await;
    }
    while let Some(request) = read(&mut stream, peer).await? {
        let head = request.method == "HEAD";
        let reply = shared.answer(request).await;
        let ends = write(stream.get_mut(), &reply, head).await?;
        match ends {
            Ends::Not => {}
            Ends::InOrder => return stream.shutdown().await,
            Ends::Reset => return resetting().map_err(io::Error::from),
        }
    }
    Ok(())
}

/// `None` where the client closed between two requests.
async fn read<S: tokio::io::AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    peer: &Peer,
) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let length = find("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let host = find("host").unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).to_owned();
    let Peer { number: connection, sni, shown } = peer;
    let (connection, sni, shown) = (*connection, sni.clone(), shown.clone());
    Ok(Some(Request { method, host, path, headers, body, connection, sni, shown }))
}

/// The first byte of a TLS client.
const TLS_HANDSHAKE: u8 = 0x16;

/// What becomes of the connection.
enum Ends {
    Not,
    InOrder,
    Reset,
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, reply: &Reply, head: bool) -> io::Result<Ends> {
    let body = if head { &[][..] } else { &reply.body[..] };
    let first = |bytes: usize| &body[..bytes.min(body.len())];
    let chunks = matches!(reply.manner, Manner::Chunked(_) | Manner::Endless);
    let framing = match (chunks, reply.status) {
        (true, _) => "transfer-encoding: chunked\r\n".to_owned(),
        (false, 204) => String::new(),
        (false, _) => format!("content-length: {}\r\n", reply.body.len()),
    };
    let mut start = format!("HTTP/1.1 {} Kit\r\n{framing}", reply.status);
    for (name, value) in &reply.headers {
        start.push_str(&format!("{name}: {value}\r\n"));
    }
    start.push_str("\r\n");
    let start = start.as_bytes();
    match reply.manner {
        Manner::Hang => return pending().await,
        Manner::Close => return Ok(Ends::InOrder),
        Manner::ResetAtOnce => return Ok(Ends::Reset),
        Manner::Raw => {
            say(stream, &[body]).await?;
            return Ok(Ends::InOrder);
        }
        Manner::Whole => say(stream, &[start, body]).await?,
        Manner::Chunked(bytes) => {
            say(stream, &[start]).await?;
            for piece in body.chunks(bytes.max(1)) {
                chunk(stream, piece).await?;
            }
            say(stream, &[b"0\r\n\r\n"]).await?;
        }
        Manner::Endless => {
            say(stream, &[start]).await?;
            loop {
                chunk(stream, body).await?;
            }
        }
        Manner::Slow(pause) => {
            say(stream, &[start]).await?;
            for byte in body {
                say(stream, &[&[*byte]]).await?;
                tokio::time::sleep(pause).await;
            }
        }
        Manner::HangAfter(bytes) => {
            say(stream, &[start, first(bytes)]).await?;
            return pending().await;
        }
        Manner::Reset(bytes) => {
            say(stream, &[start, first(bytes)]).await?;
            return Ok(Ends::Reset);
        }
        Manner::Truncated(bytes) => {
            say(stream, &[start, first(bytes)]).await?;
            return Ok(Ends::InOrder);
        }
    }
    Ok(Ends::Not)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, pieces: &[&[u8]]) -> io::Result<()> {
    for piece in pieces {
        stream.write_all(piece).await?;
    }
    stream.flush().await
}

async fn chunk<S: AsyncWrite + Unpin>(stream: &mut S, piece: &[u8]) -> io::Result<()> {
    say(stream, &[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"]).await
}
