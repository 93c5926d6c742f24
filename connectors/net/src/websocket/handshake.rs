//! The handshake: an HTTP request and its answer.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf as _;
use headwater_core::World;
use ring::digest;
use tokio::io::AsyncWriteExt as _;

use super::deflate::Deflate;
use super::origin::is_stranger;
use super::socket::{Side, Socket};
use crate::{Inbox, Stream};

/// What RFC 6455 appends to a key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long a head may be, and how many fields it may have.
const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 64;

/// The subprotocols that a client offers, in its order.
pub struct Offers(Vec<String>);

impl Offers {
    /// Their names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What a client asks for.
struct Asked {
    key: String,
    offers: Offers,
    /// Compression, if it offers any that there is.
    deflate: Option<Deflate>,
}

/// Answers a client. `choose` makes of its offers what is agreed and how that is called, or says why not. One that comes over loopback
/// (`is_local`) must not be a page of strangers.
pub async fn accept<S, T>(
    stream: S,
    message_bytes_max: usize,
    is_local: bool,
    choose: impl FnOnce(&Offers) -> Result<(T, Option<String>), &'static str>,
) -> io::Result<(Socket<S>, T)>
where
    S: Stream,
{
    let mut inbox = Inbox::new(stream);
    let length = head(&mut inbox).await?;
    let agreed = read_request(&inbox.bytes[..length], is_local).and_then(|asked| {
        let chosen = choose(&asked.offers)?;
        Ok((asked, chosen))
    });
    match agreed {
        Ok((Asked { key, deflate, .. }, (chosen, name))) => {
            inbox.bytes.advance(length);
            let mut answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n",
                answer_to(&key)
            );
            if let Some(name) = name {
                answer += &format!("Sec-WebSocket-Protocol: {name}\r\n");
            }
            if let Some(deflate) = deflate {
                answer += &format!("Sec-WebSocket-Extensions: {}\r\n", deflate.answer());
            }
            inbox.write((answer + "\r\n").as_bytes()).await?;
            inbox.stream.flush().await?;
            Ok((Socket::new(inbox, Side::Server, message_bytes_max).compressing(deflate), chosen))
        }
        Err(why) => {
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\
                 Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{why}\n",
                why.len() + 1
            );
            inbox.write(answer.as_bytes()).await?;
            inbox.stream.shutdown().await?;
            Err(io::Error::other(why))
        }
    }
}

/// Asks a server for a subprotocol.
pub async fn request<S: Stream>(
    world: &World,
    stream: S,
    (host, path): (&str, &str),
    wanted: &str,
    message_bytes_max: usize,
) -> io::Result<Socket<S>> {
    let mut inbox = Inbox::new(stream);
    let (a, b) = (world.random.next(), world.random.next());
    let key = STANDARD.encode((u128::from(a) << 64 | u128::from(b)).to_be_bytes());
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {wanted}\r\n\r\n"
    );
    inbox.write(ask.as_bytes()).await?;
    inbox.stream.flush().await?;
    let length = head(&mut inbox).await?;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    answer.parse(&inbox.bytes[..length]).map_err(io::Error::other)?;
    if answer.code != Some(101) {
        let (code, reason) = (answer.code.unwrap_or_default(), answer.reason.unwrap_or_default());
        return Err(io::Error::other(format!("the server answers {code} {reason}")));
    }
    if field(answer.headers, "sec-websocket-accept") != Some(answer_to(&key).as_str()) {
        return Err(io::Error::other("the server does not answer as a WebSocket"));
    }
    if field(answer.headers, "sec-websocket-protocol") != Some(wanted) {
        return Err(io::Error::other(format!("the server does not speak {wanted}")));
    }
    inbox.bytes.advance(length);
    let side = Side::Client(world.clone());
    Ok(Socket::new(inbox, side, message_bytes_max))
}

/// Reads up to the empty line that ends a head; how long it is.
async fn head<S: Stream>(inbox: &mut Inbox<S>) -> io::Result<usize> {
    loop {
        if let Some(at) = inbox.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(at + 4);
        }
        if inbox.bytes.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the head is too long"));
        }
        if inbox.more().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What a request that asks for a WebSocket says.
fn read_request(head: &[u8], is_local: bool) -> Result<Asked, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(head).map_err(|_| "this is not HTTP")?;
    if request.method != Some("GET") || request.version != Some(1) {
        return Err("a WebSocket begins with GET and HTTP/1.1");
    }
    let headers: &[httparse::Header<'_>] = request.headers;
    let has = |name: &str, token: &str| {
        all(headers, name).any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err("WebSocket is spoken here: ask for an upgrade");
    }
    if is_local && is_stranger(field(headers, "host"), field(headers, "origin")) {
        return Err("a page of another site does not get to a server on this machine");
    }
    if field(headers, "sec-websocket-version") != Some("13") {
        return Err("the version of WebSocket is 13");
    }
    let key = field(headers, "sec-websocket-key").ok_or("Sec-WebSocket-Key is missing")?;
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return Err("Sec-WebSocket-Key has 16 bytes in base64");
    }
    let offers = all(headers, "sec-websocket-protocol").flat_map(|value| value.split(','));
    let offers = Offers(offers.map(|offer| offer.trim().to_owned()).collect());
    let deflate = Deflate::of_offers(all(headers, "sec-websocket-extensions"));
    Ok(Asked { key: key.to_owned(), offers, deflate })
}

fn all<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.filter_map(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
}

fn field<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> Option<&'a str> {
    all(headers, name).next()
}

/// What the key of a request is answered with.
fn answer_to(key: &str) -> String {
    let text = format!("{key}{GUID}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat, wamp.2.json\r\n\r\n";

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let asked = read_request(GOOD.as_bytes(), false).unwrap();
        assert_eq!(answer_to(&asked.key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(asked.offers.0, ["chat", "wamp.2.json"]);
        assert_eq!(asked.deflate, None);
    }

    #[test]
    fn over_loopback_strangers_are_refused() {
        let local = GOOD.replace("Host: x", "Host: 127.0.0.1:8080");
        assert!(read_request(local.as_bytes(), true).is_ok());
        let page = local.replace("Upgrade: WebSocket", "Origin: https://evil.example\r\nUpgrade: WebSocket");
        assert!(read_request(page.as_bytes(), true).is_err() && read_request(page.as_bytes(), false).is_ok());
        assert!(read_request(GOOD.as_bytes(), true).is_err());
    }

    #[test]
    fn other_requests_are_refused() {
        for (part, other) in [
            ("GET", "POST"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("Upgrade: WebSocket", "Upgrade: h2c"),
            ("keep-alive, Upgrade", "keep-alive"),
            ("Version: 13", "Version: 8"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            ("Sec-WebSocket-Key", "X-Key"),
        ] {
            assert!(read_request(GOOD.replace(part, other).as_bytes(), false).is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn both_sides_agree() {
        let (near, far) = tokio::io::duplex(4_096);
        let world = World::real();
        let asked = request(&world, near, ("x", "/"), "chat", 1_000);
        let choose = |offers: &Offers| Ok((offers.iter().count(), offers.iter().next().map(str::to_owned)));
        let (asked, answered) = tokio::join!(asked, accept(far, 1_000, false, choose));
        assert_eq!(answered.unwrap().1, 1);
        asked.unwrap();
    }
}
