//! Signatures, `X-Headwater-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 over the time, a full stop and the body, so that a receiver
//! can tell who sent it and that it is not an old one.

use ring::hmac;

/// The header of the signature.
pub(crate) const SIGNATURE: &str = "x-headwater-signature";

/// `t=SECONDS,v1=HEX`.
pub(crate) fn signature(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(seconds.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = format!("t={seconds},v1=");
    for byte in context.sign().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'the secret'`
    #[test]
    fn a_signature_is_what_openssl_computes() {
        let expect = "t=1700000000,v1=674279675a06eb6ab63bbfce0df52e3113c6874ce9d29c36ae161f3c475b222e";
        assert_eq!(signature(b"the secret", 1_700_000_000, b"{\"a\":1}"), expect);
    }
}
