//! Tokens and what is said of each: a JSON object, kept in the order of the text.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Pairs of a token and a value, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMap<T, V>(Vec<(T, V)>);

impl<T, V> Default for TokenMap<T, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, V> Deref for TokenMap<T, V> {
    type Target = [(T, V)];

    fn deref(&self) -> &[(T, V)] {
        &self.0
    }
}

impl<'m, T, V> IntoIterator for &'m TokenMap<T, V> {
    type Item = &'m (T, V);
    type IntoIter = std::slice::Iter<'m, (T, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T, V> FromIterator<(T, V)> for TokenMap<T, V> {
    fn from_iter<I: IntoIterator<Item = (T, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<T: Serialize, V: Serialize> Serialize for TokenMap<T, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(token, value)| (token, value)))
    }
}

impl<'de, T: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for TokenMap<T, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T, V>(PhantomData<(T, V)>);

        impl<'de, T: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Pairs<T, V> {
            type Value = Vec<(T, V)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(T, V)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                let mut tokens: Vec<&T> = pairs.iter().map(|(token, _)| token).collect();
                tokens.sort_unstable();
                if tokens.windows(2).any(|two| two[0] == two[1]) {
                    return Err(serde::de::Error::custom("a token is named twice"));
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(Pairs(PhantomData)).map(Self)
    }
}
