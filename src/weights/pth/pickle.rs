//! What a pickle says: values that refer to tables by number.
//!
//! Neither nested nor circular values are ever walked, and nothing is copied however often a value is used: a tensor
//! is a place in a table until a state dict asks for it. Memory and time are linear in the pickle's length.

use super::machine;
use crate::weights::element::Float;

/// What a pickle says.
#[derive(Default)]
pub struct Pickle<'a> {
    /// The pickle itself, in which texts are places.
    pub(super) bytes: &'a [u8],
    /// What it is as a whole.
    pub top: Value,
    /// Modules and names of classes and functions.
    pub(super) globals: Vec<(Span, Span)>,
    /// The values of all tuples.
    pub(super) tuples: Vec<Value>,
    /// The values of lists and dictionaries with the number of what holds them; a dictionary's are keys and values
    /// in turn.
    pub(super) held: Vec<(u32, Value)>,
    /// How many lists and dictionaries there are.
    pub(super) containers: u32,
    /// The tuples that name storages.
    pub(super) storages: Vec<Span>,
    /// What each object of PyTorch's class `Parameter` holds.
    pub(super) parameters: Vec<Value>,
}

/// A range of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: u32,
    pub len: u32,
}

impl Span {
    pub fn of<T>(self, table: &[T]) -> &[T] {
        &table[self.from as usize..][..self.len as usize]
    }
}

/// A value; compound ones are places in the tables of [`Pickle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i64),
    /// A whole number of more than eight bytes, as they stand in the pickle.
    Long(Span),
    Float,
    Bytes,
    /// A place in the pickle, of UTF-8.
    Text(Span),
    /// A class or function. It is nothing but its name.
    Global(u32),
    Tuple(Span),
    List(u32),
    Dict(u32),
    /// The tuple that names it.
    Storage(Span),
    /// The arguments it is made of.
    Tensor(Span),
    Parameter(u32),
}

/// Numbers stored apart from the pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage<'a> {
    /// What it is called, which is a number in PyTorch's files.
    pub key: &'a str,
    /// The name of PyTorch's class.
    pub class: &'a str,
    /// Numbers of a larger storage that come before this part of it.
    pub offset: i64,
}

/// The class of a storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    class: &'static str,
    /// Bytes of one number.
    pub size: usize,
    /// How to read it; `None` for whole and complex numbers.
    pub float: Option<Float>,
}

const ELEMENTS: [Element; 12] = {
    const fn of(class: &'static str, size: usize, float: Option<Float>) -> Element {
        Element { class, size, float }
    }
    [
        of("DoubleStorage", 8, Some(Float::F64)),
        of("FloatStorage", 4, Some(Float::F32)),
        of("HalfStorage", 2, Some(Float::F16)),
        of("BFloat16Storage", 2, Some(Float::BF16)),
        of("LongStorage", 8, None),
        of("IntStorage", 4, None),
        of("ShortStorage", 2, None),
        of("CharStorage", 1, None),
        of("ByteStorage", 1, None),
        of("BoolStorage", 1, None),
        of("ComplexFloatStorage", 8, None),
        of("ComplexDoubleStorage", 16, None),
    ]
};

impl<'a> Storage<'a> {
    /// What its numbers are; `None` for a class that is not known.
    pub fn element(&self) -> Option<Element> {
        ELEMENTS.into_iter().find(|element| element.class == self.class)
    }
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef<'a> {
    pub storage: Storage<'a>,
    /// Place of its first number.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Numbers from one element to the next, by dimension.
    pub stride: Vec<usize>,
}

/// No network has tensors of more dimensions.
const MAX_DIMENSIONS: usize = 8;

/// Keys of storages are numbers, and classes have short names: what is longer is nobody's, and would be copied
/// wherever it is used.
const MAX_KEY_BYTES: u32 = 64;

impl TensorRef<'_> {
    /// How many numbers it has; `None` if that is no number of a computer's.
    pub fn len(&self) -> Option<usize> {
        let sizes = self.shape.iter().filter(|size| **size > 0);
        let len = sizes.copied().try_fold(1, usize::checked_mul)?;
        Some(if self.shape.contains(&0) { 0 } else { len })
    }

    /// The place after its last number, or its first if it has none.
    pub fn end(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(self.offset);
        }
        let mut sides = self.shape.iter().zip(&self.stride);
        let last = sides
            .try_fold(self.offset, |at, (size, stride)| at.checked_add((size - 1).checked_mul(*stride)?))?;
        last.checked_add(1)
    }

    /// Whether its numbers lie one after another in row-major order.
    pub fn is_dense(&self) -> bool {
        let mut expected = Some(1);
        self.shape.iter().zip(&self.stride).rev().all(|(size, stride)| {
            let right = *size == 1 || Some(*stride) == expected;
            expected = expected.and_then(|step: usize| step.checked_mul(*size));
            right
        })
    }
}

impl<'a> Pickle<'a> {
    /// The pickle that `bytes` begin with, and how many of them it takes.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, usize), String> {
        machine::run(bytes)
    }

    /// A text.
    pub fn text(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(span) => Some(self.str(span)),
            _ => None,
        }
    }

    /// Whether a value is this text. Takes no longer where the value is a long one.
    pub fn is(&self, value: Value, text: &str) -> bool {
        matches!(value, Value::Text(span) if span.of(self.bytes) == text.as_bytes())
    }

    pub(super) fn str(&self, span: Span) -> &'a str {
        std::str::from_utf8(span.of(self.bytes)).expect("texts are checked where they are read")
    }

    /// The values of a tuple; none for anything else.
    pub fn tuple(&self, value: Value) -> &[Value] {
        if let Value::Tuple(span) = value { span.of(&self.tuples) } else { &[] }
    }

    /// The values of a list.
    pub fn list(&self, value: Value) -> Option<Vec<Value>> {
        if let Value::List(number) = value { Some(self.held_by(number)) } else { None }
    }

    /// The entries of a dictionary.
    pub fn dict(&self, value: Value) -> Option<Vec<(Value, Value)>> {
        let Value::Dict(number) = value else { return None };
        let values = self.held_by(number);
        Some(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn held_by(&self, container: u32) -> Vec<Value> {
        self.held.iter().filter(|(holder, _)| *holder == container).map(|(_, value)| *value).collect()
    }

    /// Whether a value is a tensor, also one of no sense.
    pub fn is_tensor(&self, value: Value) -> bool {
        match value {
            Value::Tensor(_) => true,
            // Parameters hold tensors only.
            Value::Parameter(number) => self.parameters[number as usize] != Value::None,
            _ => false,
        }
    }

    /// A tensor, or what is wrong with it. The value [must be one](Self::is_tensor).
    pub fn tensor(&self, value: Value) -> Result<TensorRef<'a>, String> {
        let value = match value {
            Value::Parameter(number) => self.parameters[number as usize],
            other => other,
        };
        let Value::Tensor(arguments) = value else {
            return Err(format!("is {}, not a tensor", self.kind(value)));
        };
        let &[Value::Storage(storage), Value::Int(offset), shape, stride, ..] = arguments.of(&self.tuples)
        else {
            unreachable!("tensors are made of such arguments alone");
        };
        let storage = self.storage(storage)?;
        let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
        if shape.len() != stride.len() {
            return Err("has another number of strides than sizes".to_owned());
        }
        let offset = offset.checked_add(storage.offset).ok_or("begins beyond all storages")?;
        Ok(TensorRef { storage, offset: size(offset)?, shape, stride })
    }

    /// The storage that a tuple names: `("storage", class, key, location, length)`, and in old files, of a part of a
    /// larger one, `(key, offset, length)` after that.
    fn storage(&self, named: Span) -> Result<Storage<'a>, String> {
        let &[_, Value::Global(class), Value::Text(key), ref rest @ ..] = named.of(&self.tuples) else {
            unreachable!("storages are named so alone");
        };
        let (_, class) = self.globals[class as usize];
        if key.len > MAX_KEY_BYTES || class.len > MAX_KEY_BYTES {
            return Err("is in a storage of a kind that torch.save does not write".to_owned());
        }
        let part = rest.get(2).map_or(&[][..], |part| self.tuple(*part));
        let offset = if let [_, Value::Int(offset), ..] = part { *offset } else { 0 };
        Ok(Storage { key: self.str(key), class: self.str(class), offset })
    }

    /// Every storage that is named, or what is wrong with one.
    pub fn storages(&self) -> impl Iterator<Item = Result<Storage<'a>, String>> {
        self.storages.iter().map(|named| self.storage(*named))
    }

    fn sizes(&self, value: Value) -> Result<Vec<usize>, String> {
        let values = self.tuple(value);
        if values.len() > MAX_DIMENSIONS {
            return Err(format!("has {} dimensions, and at most {MAX_DIMENSIONS} are read", values.len()));
        }
        let sizes = values.iter().map(|value| match value {
            Value::Int(number) => size(*number),
            other => Err(format!("has {} for its size", self.kind(*other))),
        });
        sizes.collect()
    }

    /// What a value is, for messages.
    pub fn kind(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool(_) => "a truth value".to_owned(),
            Value::Int(_) | Value::Long(_) | Value::Float => "a number".to_owned(),
            Value::Bytes => "bytes".to_owned(),
            Value::Text(span) => format!("{:?}", shortened(self.str(span))),
            Value::Global(number) => {
                let (module, name) = self.global(number);
                format!("{}.{}", shortened(module), shortened(name))
            }
            Value::Tuple(_) | Value::List(_) => "a sequence".to_owned(),
            Value::Dict(_) => "a dictionary".to_owned(),
            Value::Storage(_) => "a storage".to_owned(),
            Value::Tensor(_) | Value::Parameter(_) => "a tensor".to_owned(),
        }
    }

    /// Module and name of a class or function.
    pub(super) fn global(&self, number: u32) -> (&'a str, &'a str) {
        let (module, name) = self.globals[number as usize];
        (self.str(module), self.str(name))
    }
}

/// As much of a text as a message has room for.
pub fn shortened(text: &str) -> String {
    const ROOM: usize = 60;
    match text.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn size(number: i64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("has the size {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte of a pickle can be a value: what each takes decides how much memory a file can ask for.
    #[test]
    fn a_value_takes_sixteen_bytes() {
        assert_eq!(size_of::<Value>(), 16);
    }
}
