//! Bounds for the values of all attributes.

/// How long values may be where their attribute has no `:db/maxLength`, in a database with `:schema-flexibility
/// :write`. `None` and 0 are no bound.
///
/// ```
/// use treering::{Config, ValueCaps};
/// let caps = ValueCaps { string: Some(100_000), ..ValueCaps::PRESET };
/// let config = Config::memory("notes").value_caps(caps);
/// assert_eq!(config.caps().string, Some(100_000));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ValueCaps {
    /// `:max-string-length`: characters of a string or uri.
    pub string: Option<u32>,
    /// `:max-bytes-length`: bytes.
    pub bytes: Option<u32>,
    /// `:max-float-array-length`: elements of a float array.
    pub float_array: Option<u32>,
    /// `:max-double-array-length`: elements of a double array.
    pub double_array: Option<u32>,
    /// `:max-tuple-string-length`: characters of a string inside a tuple.
    pub tuple_string: Option<u32>,
}

impl ValueCaps {
    /// `:value-caps :default`
    pub const PRESET: ValueCaps = ValueCaps {
        string: Some(4096),
        bytes: Some(4096),
        float_array: Some(4096),
        double_array: Some(4096),
        tuple_string: Some(256),
    };

    /// These caps, and from `other` those that are not given.
    #[must_use]
    pub fn or(self, other: ValueCaps) -> ValueCaps {
        ValueCaps {
            string: self.string.or(other.string),
            bytes: self.bytes.or(other.bytes),
            float_array: self.float_array.or(other.float_array),
            double_array: self.double_array.or(other.double_array),
            tuple_string: self.tuple_string.or(other.tuple_string),
        }
    }
}
