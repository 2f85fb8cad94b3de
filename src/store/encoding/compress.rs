//! Compressors.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::store::frame::Sealed;

/// How bodies are compressed. What would not get smaller is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compressor {
    /// Not at all.
    #[default]
    None,
    /// lz4 blocks: costs little time.
    Lz4,
    /// zstd at a level of 1 to 22, of which 3 is usual: smaller, and slower to write. Needs the feature `zstd`.
    Zstd(i32),
}

const NONE: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;
/// Bodies of fewer bytes are left as they are.
const LEAST: usize = 64;
/// A byte of lz4 stands for at most so many.
const LZ4_RATIO: usize = 255;

impl Compressor {
    /// The id of what was done, and the body after it.
    pub(super) fn compress(self, body: &[u8]) -> Result<(u8, Cow<'_, [u8]>)> {
        let plain = (NONE, Cow::Borrowed(body));
        if body.len() < LEAST {
            return Ok(plain);
        }
        let (id, packed) = match self {
            Compressor::None => return Ok(plain),
            Compressor::Lz4 => (LZ4, lz4_flex::block::compress(body)),
            Compressor::Zstd(level) => (ZSTD, zstd_compress(body, level)?),
        };
        // It has to save what the reader spends on it.
        Ok(if packed.len() + packed.len() / 16 < body.len() { (id, Cow::Owned(packed)) } else { plain })
    }

    /// Whether this program has the compressor.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Compressor::Zstd(_) if !cfg!(feature = "zstd") => {
                let what = "the config asks for zstd, and this program was built without the feature `zstd` of treering: \
                            build it with that, or use :lz4";
                Err(Error::new(ErrorKind::Config, "config/unsupported", what))
            }
            Compressor::Zstd(level) if !(1..=22).contains(&level) => {
                let what = format!("zstd has levels from 1 to 22, got {level}");
                Err(Error::new(ErrorKind::Config, "config/value", what))
            }
            _ => Ok(()),
        }
    }
}

/// The body before it was compressed.
pub(super) fn decompress<'a>(id: u8, packed: Cow<'a, [u8]>, sealed: &Sealed<'_>) -> Result<Cow<'a, [u8]>> {
    let len = sealed.len as usize;
    let corrupt = || sealed.bad("store/corrupt", "cannot be decompressed");
    let room = || -> Result<Vec<u8>> {
        let mut room = Vec::new();
        room.try_reserve_exact(len).map_err(|e| {
            let what = format!("the blob {:?} decompresses to {len} bytes, for which there is no memory", sealed.key);
            Error::new(ErrorKind::Limit, "store/too-large", what).caused_by(e)
        })?;
        Ok(room)
    };
    match id {
        NONE => Ok(packed),
        LZ4 => {
            if packed.len().saturating_mul(LZ4_RATIO) < len {
                return Err(corrupt());
            }
            let mut body = room()?;
            body.resize(len, 0);
            let found = lz4_flex::block::decompress_into(&packed, &mut body).map_err(|e| corrupt().caused_by(e))?;
            body.truncate(found);
            Ok(Cow::Owned(body))
        }
        ZSTD => zstd_decompress(&packed, room()?, sealed).map(Cow::Owned),
        other => {
            let what = format!("was written with compressor {other}, which this version does not have");
            Err(sealed.bad("store/unsupported", &what))
        }
    }
}

#[cfg(feature = "zstd")]
fn zstd_compress(body: &[u8], level: i32) -> Result<Vec<u8>> {
    zstd::bulk::compress(body, level)
        .map_err(|e| Error::new(ErrorKind::Internal, "store/compress", "zstd cannot compress a body").caused_by(e))
}

#[cfg(feature = "zstd")]
fn zstd_decompress(packed: &[u8], mut room: Vec<u8>, sealed: &Sealed<'_>) -> Result<Vec<u8>> {
    let corrupt = |e: std::io::Error| sealed.bad("store/corrupt", "cannot be decompressed").caused_by(e);
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(corrupt)?;
    decompressor.decompress_to_buffer(packed, &mut room).map_err(corrupt)?;
    Ok(room)
}

#[cfg(not(feature = "zstd"))]
fn zstd_compress(_: &[u8], level: i32) -> Result<Vec<u8>> {
    Err(Compressor::Zstd(level)
        .check()
        .err()
        .unwrap_or_else(|| Error::new(ErrorKind::Internal, "store/compress", "zstd is not part of this program")))
}

#[cfg(not(feature = "zstd"))]
fn zstd_decompress(_: &[u8], _: Vec<u8>, sealed: &Sealed<'_>) -> Result<Vec<u8>> {
    let what = "was compressed by zstd, and this program was built without the feature `zstd` of treering";
    Err(sealed.bad("store/unsupported", what))
}
