//! The value of a pickle, as indices into flat tables.
//!
//! Values are neither traversed recursively nor copied, so nesting, cycles and sharing cost nothing: a tensor is an index
//! until it is resolved. Memory and time are linear in the pickle's length.

use crate::weights::dtype::Float;

/// A decoded pickle.
#[derive(Default)]
pub struct Pickle<'a> {
    /// The pickle itself; strings are spans of it.
    pub(super) bytes: &'a [u8],
    /// The top-level value.
    pub top: Value,
    /// Modules and names of classes and functions.
    pub(super) globals: Vec<(Span, Span)>,
    /// The values of all tuples.
    pub(super) tuples: Vec<Value>,
    /// The items of all lists and dictionaries, each with the index of its container. Keys and values of a
    /// dictionary alternate.
    pub(super) items: Vec<(u32, Value)>,
    /// Number of lists and dictionaries.
    pub(super) containers: u32,
    /// The tuples that describe storages.
    pub(super) storages: Vec<Span>,
    /// The tensor of each `Parameter`.
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

/// A value; compound ones index into the tables of [`Pickle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, undecoded.
    Long(Span),
    Float,
    Bytes,
    /// A UTF-8 string.
    Text(Span),
    /// A class or function, known only by name.
    Global(u32),
    Tuple(Span),
    List(u32),
    Dict(u32),
    /// The tuple that describes it.
    Storage(Span),
    /// The arguments to rebuild it from.
    Tensor(Span),
    Parameter(u32),
}

/// An array of elements stored outside the pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage<'a> {
    /// Its identifier in the file, usually a decimal number.
    pub key: &'a str,
    /// The name of its PyTorch class.
    pub class: &'a str,
    /// Offset in elements, if this is part of a larger storage.
    pub offset: i64,
}

/// The element type of a storage class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Bytes per element.
    pub size: usize,
    /// `None` for integers and complex numbers.
    pub float: Option<Float>,
}

impl Storage<'_> {
    /// Its element type; `None` for an unknown class.
    pub fn element(&self) -> Option<Element> {
        let (size, float) = match self.class {
            "DoubleStorage" => (8, Some(Float::F64)),
            "FloatStorage" => (4, Some(Float::F32)),
            "HalfStorage" => (2, Some(Float::F16)),
            "BFloat16Storage" => (2, Some(Float::BF16)),
            "CharStorage" | "ByteStorage" | "BoolStorage" => (1, None),
            "ShortStorage" => (2, None),
            "IntStorage" => (4, None),
            "LongStorage" | "ComplexFloatStorage" => (8, None),
            "ComplexDoubleStorage" => (16, None),
            _ => return None,
        };
        Some(Element { size, float })
    }
}

/// A tensor as a strided view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorRef<'a> {
    pub storage: Storage<'a>,
    /// Offset of the first element.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Distance in elements between neighbors along each dimension.
    pub stride: Vec<usize>,
}

/// No network has tensors with more dimensions.
const MAX_DIMENSIONS: usize = 8;

/// Longest storage key or class name. Valid ones are short; long ones would be copied for every tensor.
const MAX_KEY_BYTES: u32 = 64;

impl TensorRef<'_> {
    /// Number of elements, saturating at `usize::MAX`.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |len, size| len.saturating_mul(*size))
    }

    /// Offset just past the last element, or of the start if it is empty; `None` on overflow.
    pub fn end(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(self.offset);
        }
        let mut sides = self.shape.iter().zip(&self.stride);
        let last = sides
            .try_fold(self.offset, |at, (size, stride)| at.checked_add((size - 1).checked_mul(*stride)?))?;
        last.checked_add(1)
    }

    /// Whether it is contiguous in row-major order.
    pub fn is_dense(&self) -> bool {
        let mut expected = 1usize;
        self.shape.iter().zip(&self.stride).rev().all(|(size, stride)| {
            let dense = *size == 1 || *stride == expected;
            expected = expected.saturating_mul(*size);
            dense
        })
    }
}

impl<'a> Pickle<'a> {
    /// A string.
    pub fn text(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(span) => Some(self.str(span)),
            _ => None,
        }
    }

    /// Whether a value is this string; takes constant time however long the value is.
    pub fn is(&self, value: Value, text: &str) -> bool {
        matches!(value, Value::Text(span) if span.of(self.bytes) == text.as_bytes())
    }

    pub(super) fn str(&self, span: Span) -> &'a str {
        std::str::from_utf8(span.of(self.bytes)).expect("`Vm::checked` validated it")
    }

    /// The items of a tuple; empty for any other value.
    pub fn tuple(&self, value: Value) -> &[Value] {
        if let Value::Tuple(span) = value { span.of(&self.tuples) } else { &[] }
    }

    /// The items of a list.
    pub fn list(&self, value: Value) -> Option<Vec<Value>> {
        if let Value::List(number) = value { Some(self.items_of(number)) } else { None }
    }

    /// The entries of a dictionary.
    pub fn dict(&self, value: Value) -> Option<Vec<(Value, Value)>> {
        let Value::Dict(number) = value else { return None };
        let values = self.items_of(number);
        Some(values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn items_of(&self, container: u32) -> Vec<Value> {
        self.items.iter().filter(|(of, _)| *of == container).map(|(_, value)| *value).collect()
    }

    /// Whether a value is a tensor, valid or not.
    pub fn is_tensor(&self, value: Value) -> bool {
        match value {
            Value::Tensor(_) => true,
            // A parameter holds a tensor or nothing.
            Value::Parameter(number) => self.parameters[number as usize] != Value::None,
            _ => false,
        }
    }

    /// Resolves a tensor; the error says what is wrong with it.
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
            unreachable!("`Vm::call` accepts no other arguments");
        };
        let storage = self.storage(storage)?;
        let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
        if shape.len() != stride.len() {
            return Err(format!("has {} strides for {} dimensions", stride.len(), shape.len()));
        }
        let offset = offset.checked_add(storage.offset).ok_or("has an offset that overflows")?;
        Ok(TensorRef { storage, offset: size(offset)?, shape, stride })
    }

    /// Decodes `("storage", class, key, location, length)`. In old files, `(key, offset, length)` may follow for a part
    /// of a larger storage.
    fn storage(&self, named: Span) -> Result<Storage<'a>, String> {
        let &[_, Value::Global(class), Value::Text(key), ref rest @ ..] = named.of(&self.tuples) else {
            unreachable!("`Vm::storage` accepts no other tuple");
        };
        let (_, class) = self.globals[class as usize];
        if key.len > MAX_KEY_BYTES || class.len > MAX_KEY_BYTES {
            return Err("has a storage with an overlong key or class name".to_owned());
        }
        let part = rest.get(2).map_or(&[][..], |part| self.tuple(*part));
        let offset = if let [_, Value::Int(offset), ..] = part { *offset } else { 0 };
        Ok(Storage { key: self.str(key), class: self.str(class), offset })
    }

    /// All storages that the pickle describes.
    pub fn storages(&self) -> impl Iterator<Item = Result<Storage<'a>, String>> {
        self.storages.iter().map(|named| self.storage(*named))
    }

    fn sizes(&self, value: Value) -> Result<Vec<usize>, String> {
        let values = self.tuple(value);
        if values.len() > MAX_DIMENSIONS {
            return Err(format!("has {} dimensions, the limit is {MAX_DIMENSIONS}", values.len()));
        }
        let sizes = values.iter().map(|value| match value {
            Value::Int(number) => size(*number),
            other => Err(format!("has {} where a size is expected", self.kind(*other))),
        });
        sizes.collect()
    }

    /// Describes a value in messages.
    pub fn kind(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool(_) => "a bool".to_owned(),
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

/// A string cut to a length suitable for messages.
pub fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn size(number: i64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("has the invalid size {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Since a single byte can push a value, the size of a value bounds the memory that a file can demand.
    #[test]
    fn a_value_takes_sixteen_bytes() {
        assert_eq!(size_of::<Value>(), 16);
    }
}
