//! How both sides agree about WAMP.

use std::io;

use headwater_core::World;
use headwater_net::Stream;
use headwater_net::websocket::{self, Offers};

use super::{Subprotocol, WebSocket};

/// Answers a client that offers WAMP: with the first of its subprotocols that there is, or with a refusal.
pub(in crate::net) async fn accept<S: Stream>(
    stream: S,
    message_bytes_max: usize,
    is_local: bool,
) -> io::Result<WebSocket<S>> {
    let choose = |offers: &Offers| {
        let chosen = offers.iter().find_map(Subprotocol::from_name);
        let chosen = chosen.ok_or("offer a subprotocol, such as wamp.2.json")?;
        Ok((chosen, Some(chosen.name())))
    };
    let (socket, chosen) = websocket::accept(stream, message_bytes_max, is_local, choose).await?;
    Ok(WebSocket::new(socket, chosen))
}

/// Asks a router for a subprotocol.
pub(crate) async fn request<S: Stream>(
    world: &World,
    stream: S,
    place: (&str, &str),
    wanted: Subprotocol,
    message_bytes_max: usize,
) -> io::Result<WebSocket<S>> {
    let socket = websocket::request(world, stream, place, &wanted.name(), message_bytes_max).await?;
    Ok(WebSocket::new(socket, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_agree() {
        let (near, far) = tokio::io::duplex(4_096);
        let wanted = Subprotocol::from_name("wamp.2.cbor").unwrap();
        let world = World::real();
        let asked = request(&world, near, ("x", "/"), wanted, 1_000);
        let (asked, answered) = tokio::join!(asked, accept(far, 1_000, false));
        assert_eq!(answered.unwrap().subprotocol(), wanted);
        asked.unwrap();
    }
}
