//! The least of a client: RawSocket and JSON, written out.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A session that says and hears messages as text.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Joins `realm1` of the router at a port of this machine.
    pub async fn join(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"\x7f\xf1\0\0").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"\x7f\xf1\0\0");
        let mut peer = Self { stream };
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
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await.unwrap();
        let mut message = vec![0; u32::from_be_bytes(header) as usize];
        self.stream.read_exact(&mut message).await.unwrap();
        String::from_utf8(message).unwrap()
    }

    /// Reads whatever comes, until nothing more can come.
    pub async fn ends(&mut self) {
        let mut chunk = vec![0; 65_536];
        while matches!(self.stream.read(&mut chunk).await, Ok(count) if count > 0) {}
    }
}
