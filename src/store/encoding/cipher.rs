//! XChaCha20-Poly1305 under a key of 32 bytes, with a random nonce for each body.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

use crate::error::{Error, ErrorKind, Result};

/// Its id in frames. 1 is left for konserve's AES.
pub(super) const ID: u8 = 2;
const NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes that a body grows by.
pub(super) const OVERHEAD: usize = NONCE + TAG;
/// Bytes of a key.
pub(super) const KEY: usize = 32;

/// A cipher with its key.
#[derive(Clone)]
pub(super) struct Cipher(XChaCha20Poly1305);

/// Fills `bytes` with random ones.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|e| {
        let what = format!("the system gives no random bytes: {e}");
        Error::new(ErrorKind::Storage, "store/random", what)
    })
}

impl Cipher {
    pub fn new(key: &[u8; KEY]) -> Cipher {
        Cipher(XChaCha20Poly1305::new(key.into()))
    }

    /// Nonce, encrypted body, tag. `beside` is authenticated with them.
    pub fn seal(&self, body: &[u8], beside: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let mut out = Vec::with_capacity(body.len() + OVERHEAD);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(body);
        let (_, text) = out.split_at_mut(NONCE);
        let tag = self.0.encrypt_inout_detached(&XNonce::from(nonce), beside, text.into()).map_err(|_| {
            let what = format!("a body of {} bytes is too large to be encrypted", body.len());
            Error::new(ErrorKind::Limit, "store/too-large", what)
        })?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// The body of what [`seal`](Self::seal) gave; `None` if anything differs from that.
    pub fn open(&self, sealed: &[u8], beside: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        let mut body = text.to_vec();
        let buffer = body.as_mut_slice().into();
        self.0.decrypt_inout_detached(&XNonce::from(*nonce), beside, buffer, &Tag::from(*tag)).ok()?;
        Some(body)
    }
}
