//! The least of a client: RawSocket and JSON, written out. It takes what has come with one call, as any client does that is to keep up.

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEADER: usize = 4;

/// Room for what one call reads.
const READ_BYTES: usize = 16 << 10;

/// A session that says and hears messages as text.
pub struct Peer {
    stream: TcpStream,
    /// What has come and was not heard yet.
    come: BytesMut,
}

impl Peer {
    /// Joins `realm1` of the router at a port of this machine.
    pub async fn join(port: u16) -> Self {
        Self::join_one_that_takes(port, 0xf).await
    }

    /// The same at a router that takes messages of up to 2 to the power of `length` and 9 bytes.
    pub async fn join_one_that_takes(port: u16, length: u8) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"\x7f\xf1\0\0").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x7f, length << 4 | 1, 0, 0]);
        let mut peer = Self { stream, come: BytesMut::new() };
        peer.say(r#"[1,"realm1",{"roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}}]"#).await;
        assert!(peer.hear().await.starts_with("[2,"));
        peer
    }

    /// Says a message.
    pub async fn say(&mut self, message: &str) {
        let mut frame = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(message.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next message.
    pub async fn hear(&mut self) -> String {
        self.look(|message| String::from_utf8(message.to_vec()).unwrap()).await
    }

    /// What `look` makes of the next message where it lies.
    pub async fn look<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> T {
        let length = self.whole().await;
        let seen = look(&self.come[HEADER..HEADER + length]);
        self.come.advance(HEADER + length);
        seen
    }

    /// Waits until the next message is there; how long it is.
    async fn whole(&mut self) -> usize {
        loop {
            if let Some(header) = self.come.first_chunk::<HEADER>() {
                let length = u32::from_be_bytes(*header) as usize;
                if self.come.len() >= HEADER + length {
                    return length;
                }
            }
            self.come.reserve(READ_BYTES);
            assert_ne!(self.stream.read_buf(&mut self.come).await.unwrap(), 0, "the router has hung up");
        }
    }

    /// Reads whatever comes, until nothing more can come.
    pub async fn ends(&mut self) {
        self.come = BytesMut::new();
        let mut chunk = vec![0; 65_536];
        while matches!(self.stream.read(&mut chunk).await, Ok(count) if count > 0) {}
    }
}
