//! What is done to every body before it is stored: compression and authenticated encryption.
//!
//! A frame's header says what was done to it, so frames of different encodings lie beside each other, and what a
//! store is set to now only matters for what is written from now on.

#[cfg(feature = "encryption")]
mod cipher;
mod compress;
mod config;
#[cfg(feature = "encryption")]
mod keys;
#[cfg(test)]
mod tests;

pub use compress::Compressor;
pub use config::{EncodingConfig, Key};

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;
use crate::store::frame::{Frame, Ids, Sealed, header, write};

/// The encryptor of a frame that is not encrypted.
const NONE: u8 = 0;

/// How the bodies of a store are compressed and encrypted. Clones share the key, which `Debug` does not show.
///
/// Made by [`Store::encoded`]; [`Encoding::PLAIN`] does nothing.
///
/// ```
/// use treering::store::Encoding;
/// let bytes = Encoding::PLAIN.seal(1, 0, b"body", "head/main", 0)?;
/// assert_eq!(*Encoding::PLAIN.open(&bytes, "head/main", 0)?.body, *b"body");
/// assert!(Encoding::PLAIN.open(&bytes, "head/other", 0).is_err());
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Clone)]
pub struct Encoding {
    compressor: Compressor,
    #[cfg(feature = "encryption")]
    cipher: Option<cipher::Cipher>,
    /// Whether frames that are not encrypted are read although there is a key.
    mixed: bool,
}

impl Default for Encoding {
    fn default() -> Self {
        Encoding::PLAIN
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encrypts = if self.encrypts() { "encrypted" } else { "not encrypted" };
        write!(f, "Encoding({:?}, {encrypts})", self.compressor)
    }
}

fn fits(len: usize, key: &str) -> Result<u32> {
    u32::try_from(len).map_err(|_| {
        let what = format!("the blob {key:?} is too large: {len} bytes, at most {} fit", u32::MAX);
        Error::new(ErrorKind::Limit, "store/too-large", what)
    })
}

impl Encoding {
    /// Neither compression nor encryption.
    pub const PLAIN: Encoding = Encoding {
        compressor: Compressor::None,
        #[cfg(feature = "encryption")]
        cipher: None,
        mixed: true,
    };

    /// The encoding that `config` asks for on `store`. With a key, the store's own key is unwrapped; where the store has
    /// none it is made, if `may_write`.
    pub(super) async fn on(store: &Store, config: &EncodingConfig, may_write: bool) -> Result<Encoding> {
        config.check()?;
        let plain = Encoding { compressor: config.given_compressor(), ..Encoding::PLAIN };
        if !config.encrypts() {
            return Ok(plain);
        }
        #[cfg(feature = "encryption")]
        return keys::unlock(store, config, may_write, plain).await;
        #[cfg(not(feature = "encryption"))]
        {
            let _ = (store, may_write);
            Err(without_feature(ErrorKind::Config, "config/unsupported", "the config asks for encryption"))
        }
    }

    /// Whether what is written is encrypted.
    pub fn encrypts(&self) -> bool {
        #[cfg(feature = "encryption")]
        return self.cipher.is_some();
        #[cfg(not(feature = "encryption"))]
        false
    }

    /// How what is written is compressed.
    pub fn compressor(&self) -> Compressor {
        self.compressor
    }

    /// Appends a frame around `body` to `out`, to be stored so that it begins at `offset` of the blob `key`.
    ///
    /// # Errors
    /// `store/too-large` if the body does not fit 4 GiB; `store/random` if the system has no random bytes for encryption.
    pub fn seal_into(
        &self,
        out: &mut Vec<u8>,
        kind: u8,
        serializer: u8,
        body: &[u8],
        key: &str,
        offset: u64,
    ) -> Result<()> {
        let len = fits(body.len(), key)?;
        let (compressor, packed) = self.compressor.compress(body)?;
        let ids = Ids { kind, serializer, compressor, encryptor: NONE };
        #[cfg(feature = "encryption")]
        if let Some(cipher) = &self.cipher {
            let ids = Ids { encryptor: cipher::ID, ..ids };
            let header = header(ids, fits(packed.len() + cipher::OVERHEAD, key)?, len);
            write(out, &header, &cipher.seal(&packed, &at_place(&header, key, offset))?, key, offset);
            return Ok(());
        }
        write(out, &header(ids, fits(packed.len(), key)?, len), &packed, key, offset);
        Ok(())
    }

    /// A frame around `body`, to be stored so that it begins at `offset` of the blob `key`.
    ///
    /// # Errors
    /// As [`seal_into`](Self::seal_into).
    pub fn seal(&self, kind: u8, serializer: u8, body: &[u8], key: &str, offset: u64) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.seal_into(&mut out, kind, serializer, body, key, offset)?;
        Ok(out)
    }

    /// Verifies and opens the frame that fills `bytes`, which were read at `offset` of the blob `key`.
    ///
    /// # Errors
    /// `store/corrupt` if a single bit differs from what was sealed for this place, `store/unsupported` for a layout,
    /// compressor or encryptor that this version does not know; `store/key-missing` for an encrypted frame without a
    /// key, `store/not-encrypted` for one that is not where all have to be, `store/not-authentic` for one that was not
    /// sealed with this key for this place.
    pub fn open<'a>(&self, bytes: &'a [u8], key: &'a str, offset: u64) -> Result<Frame<'a>> {
        let (frame, rest) = self.open_first(bytes, key, offset)?;
        if !rest.is_empty() {
            let what = format!("has {} bytes after its frame", rest.len());
            return Err(super::frame::bad("store/corrupt", key, offset, &what));
        }
        Ok(frame)
    }

    /// Verifies and opens the frame that `bytes` begin with, and gives it with the bytes after it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_first<'a>(&self, bytes: &'a [u8], key: &'a str, offset: u64) -> Result<(Frame<'a>, &'a [u8])> {
        let (sealed, rest) = Sealed::verify(bytes, key, offset)?;
        Ok((self.unseal(&sealed)?, rest))
    }

    /// Opens a frame that was verified.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn unseal<'a>(&self, sealed: &Sealed<'a>) -> Result<Frame<'a>> {
        let packed = self.decrypt(sealed)?;
        let Ids { kind, serializer, compressor, .. } = sealed.ids;
        let body = compress::decompress(compressor, packed, sealed)?;
        if body.len() != sealed.len as usize {
            return Err(sealed.bad("store/corrupt", "claims another length than its body has"));
        }
        Ok(Frame { kind, serializer, body })
    }

    /// The bytes of a frame that another encoding has sealed, as this one has them at the same place of another store: encrypted
    /// with its own key, and of the same length. `None` for a frame that cannot be so, or would not be read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn sealed_anew(&self, other: &Encoding, sealed: &Sealed<'_>) -> Result<Option<Vec<u8>>> {
        let packed = other.decrypt(sealed)?;
        let mut out = Vec::with_capacity(sealed.frame_len());
        let header = header(sealed.ids, sealed.stored.len() as u32, sealed.len);
        match sealed.ids.encryptor {
            NONE if self.mixed => write(&mut out, &header, &packed, sealed.key, sealed.offset),
            #[cfg(feature = "encryption")]
            cipher::ID if self.encrypts() => {
                let Some(cipher) = &self.cipher else { return Ok(None) };
                let stored = cipher.seal(&packed, &at_place(&header, sealed.key, sealed.offset))?;
                write(&mut out, &header, &stored, sealed.key, sealed.offset);
            }
            _ => return Ok(None),
        }
        Ok(Some(out))
    }

    fn decrypt<'a>(&self, sealed: &Sealed<'a>) -> Result<Cow<'a, [u8]>> {
        match sealed.ids.encryptor {
            NONE if self.encrypts() && !self.mixed => {
                let what = format!(
                    "the blob {:?} at offset {} is not encrypted, and the config says that all of this store is: somebody \
                     else has put it there, or the store was begun without encryption (then say :mixed? true)",
                    sealed.key, sealed.offset
                );
                Err(Error::new(ErrorKind::Config, "store/not-encrypted", what))
            }
            NONE => Ok(Cow::Borrowed(sealed.stored)),
            #[cfg(feature = "encryption")]
            cipher::ID => {
                let place = at_place(sealed.header, sealed.key, sealed.offset);
                let cipher = self.cipher.as_ref().ok_or_else(|| key_missing(sealed.key))?;
                let opened = cipher.open(sealed.stored, &place).ok_or_else(|| {
                    sealed.bad(
                        "store/not-authentic",
                        "was not sealed with the key of this store for this place: it was changed or put there by others",
                    )
                })?;
                Ok(Cow::Owned(opened))
            }
            #[cfg(not(feature = "encryption"))]
            2 => {
                let what = format!("the blob {:?} is encrypted", sealed.key);
                Err(without_feature(ErrorKind::Corrupt, "store/unsupported", &what))
            }
            other => {
                let what = format!("was written with encryptor {other}, which this version does not have");
                Err(sealed.bad("store/unsupported", &what))
            }
        }
    }
}

/// What is authenticated beside the body: the header and the place.
#[cfg(feature = "encryption")]
fn at_place(header: &[u8], key: &str, offset: u64) -> Vec<u8> {
    [header, &offset.to_le_bytes(), key.as_bytes()].concat()
}

#[cfg(feature = "encryption")]
fn key_missing(blob: &str) -> Error {
    let what = format!(
        "the blob {blob:?} is encrypted, and the config gives no key: add :config {{:encoding {{:encryptor {{:key \"…\"}}}}}} \
         or :passphrase to :store"
    );
    Error::new(ErrorKind::Config, "store/key-missing", what)
}

#[cfg(not(feature = "encryption"))]
fn without_feature(kind: ErrorKind, code: &'static str, what: &str) -> Error {
    Error::new(kind, code, format!("{what}, and this program was built without the feature `encryption` of treering"))
}
