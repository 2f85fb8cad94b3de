//! The key of a store, and the record that it is wrapped in.
//!
//! Everything is encrypted under 32 random bytes that are drawn when the store is first encrypted. They lie in the store
//! themselves, under `encryption`, encrypted by the key of the config, or by what Argon2id makes of the passphrase and
//! a salt. So each store has a key of its own, and a wrong key is noticed before anything is read.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::cipher::{Cipher, KEY, random};
use super::config::Secret;
use super::{Encoding, EncodingConfig, Key};
use crate::edn::{self, Form, FormKind, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;
use crate::store::frame::{kind, serializer};

/// Where the record lies.
const RECORD: &str = "encryption";
const CIPHER: &str = "xchacha20-poly1305";
const SALT: usize = 16;
/// What a new passphrase costs: RFC 9106's second choice.
const COSTS: Costs = Costs { memory: 64 << 10, passes: 3, lanes: 4 };
/// What is still paid for a passphrase: a record that asks for more was not written by this crate.
const MOST: Costs = Costs { memory: 1 << 20, passes: 64, lanes: 64 };

/// What Argon2id is to spend: KiB of memory, passes over it, lanes.
#[derive(Clone, Copy)]
struct Costs {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// How the wrapping key comes from what the config gives.
enum Derivation {
    /// It is the key.
    Raw,
    Passphrase(Costs, [u8; SALT]),
}

struct Wrapped {
    derivation: Derivation,
    /// The store's key, sealed by the wrapping key.
    key: Vec<u8>,
}

/// The encoding with the store's key.
pub(super) async fn unlock(
    store: &Store,
    config: &EncodingConfig,
    may_write: bool,
    plain: Encoding,
) -> Result<Encoding> {
    let key = config.key().ok_or_else(no_key)?;
    let with = |key: &[u8; KEY]| Encoding { cipher: Some(Cipher::new(key)), mixed: config.is_mixed(), ..plain.clone() };
    if let Some(bytes) = store.get_async(RECORD, None).await? {
        return Ok(with(&*Wrapped::decode(&bytes)?.unwrap(key)?));
    }
    if !config.is_mixed() && !store.list_async("").await?.is_empty() {
        let what = "the store was begun without encryption: what lies in it is not encrypted. Give no :encryptor, or :mixed? \
                    true to read it on and to encrypt what is written from now on";
        return Err(Error::new(ErrorKind::Config, "store/not-encrypted", what));
    }
    if !may_write {
        return Ok(plain);
    }
    let mut fresh = Zeroizing::new([0; KEY]);
    random(&mut *fresh)?;
    let record = Wrapped::new(key, &fresh)?.encode()?;
    if store.swap_async(RECORD, None, record).await? {
        store.sync_async().await?;
        return Ok(with(&fresh));
    }
    // Another process was faster, and its key holds.
    let bytes = store.get_async(RECORD, None).await?.ok_or_else(|| damaged("vanished"))?;
    Ok(with(&*Wrapped::decode(&bytes)?.unwrap(key)?))
}

impl Derivation {
    fn new(key: &Key) -> Result<Derivation> {
        match &key.0 {
            Secret::Raw(_) => Ok(Derivation::Raw),
            Secret::Passphrase(_) => {
                let mut salt = [0; SALT];
                random(&mut salt)?;
                Ok(Derivation::Passphrase(COSTS, salt))
            }
        }
    }

    fn derive(&self, key: &Key) -> Result<Zeroizing<[u8; KEY]>> {
        match (self, &key.0) {
            (Derivation::Raw, Secret::Raw(bytes)) => Ok(Zeroizing::new(*bytes)),
            (Derivation::Passphrase(costs, salt), Secret::Passphrase(words)) => {
                let Costs { memory, passes, lanes } = *costs;
                let failed = |e: argon2::Error| {
                    Error::new(ErrorKind::Internal, "store/passphrase", format!("no key can be derived: {e}"))
                };
                let params = Params::new(memory, passes, lanes, Some(KEY)).map_err(failed)?;
                let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let mut out = Zeroizing::new([0; KEY]);
                argon.hash_password_into(words.as_bytes(), salt, &mut *out).map_err(failed)?;
                Ok(out)
            }
            (Derivation::Raw, _) => Err(wrong_key("it was encrypted under a :key, and the config gives a :passphrase")),
            (Derivation::Passphrase(..), _) => {
                Err(wrong_key("it was encrypted under a :passphrase, and the config gives a :key"))
            }
        }
    }

    fn to_form(&self) -> Form {
        let mut pairs = Vec::new();
        let mut put = |name: &str, value: Form| pairs.push((Form::from(Keyword::new(name)), value));
        match self {
            Derivation::Raw => put("type", Keyword::new("raw").into()),
            Derivation::Passphrase(Costs { memory, passes, lanes }, salt) => {
                put("type", Keyword::new("argon2id").into());
                put("memory-kib", i64::from(*memory).into());
                put("passes", i64::from(*passes).into());
                put("lanes", i64::from(*lanes).into());
                put("salt", hex(salt).into());
            }
        }
        Form::map(pairs)
    }

    fn from_form(form: &Form) -> Option<Derivation> {
        let get = |name: &str| form.get(Keyword::new(name));
        if get("type")?.as_keyword()?.as_str() == "raw" {
            return Some(Derivation::Raw);
        }
        let number = |name: &str, most: u32| {
            let n = u32::try_from(get(name)?.as_int()?).ok()?;
            (1..=most).contains(&n).then_some(n)
        };
        let costs = Costs {
            memory: number("memory-kib", MOST.memory)?,
            passes: number("passes", MOST.passes)?,
            lanes: number("lanes", MOST.lanes)?,
        };
        let salt = unhex(get("salt")?.as_str()?)?.try_into().ok()?;
        (get("type")?.as_keyword()?.as_str() == "argon2id").then_some(Derivation::Passphrase(costs, salt))
    }

    /// What is authenticated with the wrapped key.
    fn beside(&self) -> Vec<u8> {
        format!("treering store key, {CIPHER}, {}", self.to_form()).into_bytes()
    }
}

impl Wrapped {
    fn new(key: &Key, fresh: &[u8; KEY]) -> Result<Wrapped> {
        let derivation = Derivation::new(key)?;
        let wrapping = Cipher::new(&*derivation.derive(key)?);
        let key = wrapping.seal(fresh, &derivation.beside())?;
        Ok(Wrapped { derivation, key })
    }

    fn unwrap(&self, key: &Key) -> Result<Zeroizing<[u8; KEY]>> {
        let wrapping = Cipher::new(&*self.derivation.derive(key)?);
        let opened = wrapping.open(&self.key, &self.derivation.beside()).map(Zeroizing::new);
        let opened = opened.ok_or_else(|| wrong_key("it was encrypted under another one than the config gives"))?;
        let key: [u8; KEY] = opened.as_slice().try_into().map_err(|_| damaged("holds a key of another length"))?;
        Ok(Zeroizing::new(key))
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let pair = |name: &str, value: Form| (Form::from(Keyword::new(name)), value);
        let form = Form::map(vec![
            pair("cipher", Keyword::new(CIPHER).into()),
            pair("derivation", self.derivation.to_form()),
            pair("wrapped-key", hex(&self.key).into()),
        ]);
        Encoding::PLAIN.seal(kind::ENCRYPTION, serializer::EDN, form.to_string().as_bytes(), RECORD, 0)
    }

    fn decode(bytes: &[u8]) -> Result<Wrapped> {
        let frame = Encoding::PLAIN.open(bytes, RECORD, 0)?;
        let text = std::str::from_utf8(&frame.body).ok().filter(|_| frame.kind == kind::ENCRYPTION);
        let form = text.and_then(|text| edn::read(text).ok()).unwrap_or_else(Form::nil);
        if let Some(FormKind::Keyword(cipher)) = form.get(Keyword::new("cipher")).map(|form| &form.kind)
            && cipher.as_str() != CIPHER
        {
            let what = format!("the store is encrypted with {cipher}, which this version does not have");
            return Err(Error::new(ErrorKind::Corrupt, "store/unsupported", what));
        }
        let parse = || {
            let derivation = Derivation::from_form(form.get(Keyword::new("derivation"))?)?;
            let key = unhex(form.get(Keyword::new("wrapped-key"))?.as_str()?)?;
            Some(Wrapped { derivation, key })
        };
        parse().ok_or_else(|| damaged("is no record of a key"))
    }
}

fn no_key() -> Error {
    let what = "the config asks for encryption and gives no key: add :key or :passphrase to its :encryptor, or set \
                TREERING_ENCRYPTION_KEY or TREERING_ENCRYPTION_PASSPHRASE";
    Error::new(ErrorKind::Config, "store/key-missing", what)
}

fn wrong_key(why: &str) -> Error {
    Error::new(ErrorKind::Config, "store/wrong-key", format!("the key does not open the store: {why}"))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the blob {RECORD:?} {what}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if text.len().is_multiple_of(2) { text.as_bytes().chunks_exact(2).map(pair).collect() } else { None }
}
