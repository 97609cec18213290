//! JSON read for a few members, whatever types they turn out to have. Only
//! what is not JSON at all is an error, so one odd field never costs the rest.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::signs::Kind;

/// An object of which some members are wanted.
pub(super) trait Members<'de>: Default {
    /// Takes the value of member `name` from `map`, or leaves it there and
    /// answers `false`. The first of several members with one name counts.
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Takes the next value unless there is one already.
pub(super) fn first<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    map: &mut A,
) -> Result<bool, A::Error> {
    if slot.is_some() {
        return Ok(false);
    }
    *slot = Some(map.next_value()?);
    Ok(true)
}

/// An object, or `None` for any other value.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) Option<T>);

/// A value without structure.
#[derive(Debug)]
pub(super) enum Scalar<'de> {
    /// Copied only if it is written with escapes.
    Text(Cow<'de, str>),
    /// A whole number that is not negative.
    Number(u64),
    Null,
    Other,
}

/// The texts of an array, or the one text that stands in its place; numbers
/// are taken as they are written, anything else is left out.
#[derive(Debug, Default)]
pub(super) struct Texts<'de>(pub(super) Vec<Cow<'de, str>>);

/// Bytes as text, with U+FFFD for what is not UTF-8. What is UTF-8 throughout,
/// as nearly all is, is known as such far sooner than what is not.
pub(super) fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

impl<'de> Scalar<'de> {
    /// A text, or a number as text.
    pub(super) fn into_text(self) -> Option<Cow<'de, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string().into()),
            Self::Null | Self::Other => None,
        }
    }
}

impl<'de, T: Members<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

impl<'de, T: Members<'de>> Deserialize<'de> for Kind<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

/// What becomes of each kind of value.
trait Sink<'de>: Sized {
    fn scalar(scalar: Scalar<'de>) -> Self;

    fn sequence<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::scalar(Scalar::Other))
    }

    fn map<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::scalar(Scalar::Other))
    }
}

impl<'de> Sink<'de> for Scalar<'de> {
    fn scalar(scalar: Self) -> Self {
        scalar
    }
}

impl<'de, T: Members<'de>> Sink<'de> for Object<T> {
    fn scalar(_: Scalar<'de>) -> Self {
        Self(None)
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        Ok(Self(Some(wanted(members)?)))
    }
}

impl<'de, T: Members<'de>> Sink<'de> for Kind<T> {
    fn scalar(scalar: Scalar<'de>) -> Self {
        scalar.into()
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        Ok(Self::Object(wanted(members)?))
    }
}

/// Takes what is wanted of an object and passes over the rest.
fn wanted<'de, T: Members<'de>, A: MapAccess<'de>>(mut members: A) -> Result<T, A::Error> {
    let mut object = T::default();
    while let Some(Name(name)) = members.next_key()? {
        if !object.take(&name, &mut members)? {
            members.next_value::<IgnoredAny>()?;
        }
    }
    Ok(object)
}

impl<'de> Sink<'de> for Texts<'de> {
    fn scalar(scalar: Scalar<'de>) -> Self {
        Self(scalar.into_text().into_iter().collect())
    }

    fn sequence<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = items.next_element::<Scalar<'de>>()? {
            texts.extend(item.into_text());
        }
        Ok(Self(texts))
    }
}

/// A visitor that no value surprises.
struct Anything<T>(PhantomData<T>);

impl<'de, T: Sink<'de>> Visitor<'de> for Anything<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::scalar(Scalar::Other))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::scalar(Scalar::Number(number)))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::scalar(Scalar::Other))
    }

    /// Some exporters write every number with a fraction (`10.0`).
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        let whole = number.fract() == 0.0 && (0.0..1e9).contains(&number);
        Ok(T::scalar(if whole {
            Scalar::Number(number as u64)
        } else {
            Scalar::Other
        }))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::scalar(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::scalar(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::scalar(Scalar::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::sequence(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::map(members)
    }
}

/// The name of a member, copied only if it is written with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}
