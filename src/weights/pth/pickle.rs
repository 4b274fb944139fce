//! Just enough of Python's pickle to read a state dict, and nothing that could do harm.
//!
//! A pickle is a program for a machine with a stack and a memo. Of its instructions those are known here that
//! `torch.save` writes for dictionaries of tensors, and of its calls four: `OrderedDict()`, `_rebuild_tensor_v2`,
//! `_rebuild_parameter`, and the storage that a persistent id names. They make up data, no more. Any other
//! call is refused by the name of what was to be called.
//!
//! Values refer to tables by number, so that neither nested nor circular ones are ever walked: memory and
//! time are linear in the pickle's length. Instructions: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

use crate::weights::element::Float;
use std::collections::HashMap;

/// What a pickle says.
#[derive(Default)]
pub struct Pickle<'a> {
    /// What it is as a whole.
    pub top: Value<'a>,
    sequences: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<TensorRef<'a>>,
}

/// A value; numbers of compound ones are places in the tables of [`Pickle`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'a> {
    #[default]
    None,
    Bool,
    Int(i64),
    Float,
    Bytes,
    Text(&'a str),
    /// A class or function by module and name. It is nothing but its name.
    Global(&'a str, &'a str),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// Numbers in an entry of their own in the archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage<'a> {
    /// The entry's name, after `data/`.
    pub key: &'a str,
    pub element: Element<'a>,
}

/// Element type of a storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element<'a> {
    Float(Float),
    /// By the name of PyTorch's class.
    Other(&'a str),
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
    /// Reads a pickle.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let pickle = Self::default();
        let mut machine =
            Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), pickle };
        while machine.step()? {}
        machine.pickle.top = machine.pop()?;
        Ok(machine.pickle)
    }

    /// The entries of a dictionary.
    pub fn dict(&self, value: Value) -> Option<&[(Value<'a>, Value<'a>)]> {
        if let Value::Dict(at) = value { Some(&self.dicts[at]) } else { None }
    }

    /// A tensor.
    pub fn tensor(&self, value: Value) -> Option<&TensorRef<'a>> {
        if let Value::Tensor(at) = value { Some(&self.tensors[at]) } else { None }
    }

    /// What a value is, for messages.
    pub fn kind(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool => "a truth value".to_owned(),
            Value::Int(_) | Value::Float => "a number".to_owned(),
            Value::Bytes => "bytes".to_owned(),
            Value::Text(text) => format!("{text:.60?}"),
            Value::Global(module, name) => format!("{module}.{name}"),
            Value::Tuple(_) | Value::List(_) => "a sequence".to_owned(),
            Value::Dict(_) => "a dictionary".to_owned(),
            Value::Storage(_) => "a storage".to_owned(),
            Value::Tensor(_) => "a tensor".to_owned(),
        }
    }
}

/// A pickle under way.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    pickle: Pickle<'a>,
}

impl<'a> Machine<'a> {
    /// One instruction; whether there are more.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            // PROTO and FRAME say nothing of what is read.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(number.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Float);
            }
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'C' => self.skip(1)?,
            b'B' => self.skip(4)?,
            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b')' => self.sequence(self.stack.len(), Value::Tuple),
            b']' => self.sequence(self.stack.len(), Value::List),
            b't' => {
                let from = self.mark()?;
                self.sequence(from, Value::Tuple);
            }
            count @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(count - 0x84)).ok_or(SHORT)?;
                self.sequence(from, Value::Tuple);
            }
            b'a' => self.append(self.stack.len().saturating_sub(1))?,
            b'e' => {
                let from = self.mark()?;
                self.append(from)?;
            }
            b'}' => self.new_dict(),
            b's' => self.set_items(self.stack.len().saturating_sub(2))?,
            b'u' => {
                let from = self.mark()?;
                self.set_items(from)?;
            }
            b'c' => {
                let global = Value::Global(self.line()?, self.line()?);
                self.stack.push(global);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err("it names a class by something other than text".to_owned());
                };
                self.stack.push(Value::Global(module, name));
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            b'i' => return Err(refusal(self.line()?, self.line()?)),
            // NEWOBJ, NEWOBJ_EX and OBJ: class and arguments, of which the class is the first global.
            0x81 | 0x92 | b'o' => return Err(self.refuse_object()),
            other => return Err(format!("its instruction {other:#04x} is not one of a state dict's")),
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let bytes = self.bytes[self.at..].get(..count).ok_or("it ends in the middle of an instruction")?;
        self.at += count;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("so many were taken"))
    }

    /// A length or number of `count` bytes.
    fn unsigned(&mut self, count: usize) -> Result<u64, String> {
        let bytes = self.take(count)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// As many bytes as the number of `count` bytes before them says.
    fn counted(&mut self, count: usize) -> Result<&'a [u8], String> {
        let length = self.unsigned(count)?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a name in it has no end")?;
        self.at += end + 1;
        utf8(&rest[..end])
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        self.stack.pop().ok_or_else(|| SHORT.to_owned())
    }

    /// Height of the stack at the last mark, which is removed.
    fn mark(&mut self) -> Result<usize, String> {
        let height = self.marks.pop().ok_or(SHORT)?;
        if height > self.stack.len() { Err(SHORT.to_owned()) } else { Ok(height) }
    }

    fn integer(&mut self, count: usize) -> Result<(), String> {
        let number = self.unsigned(count)?;
        // At most two bytes.
        self.stack.push(Value::Int(number as i64));
        Ok(())
    }

    /// LONG1: a number of up to 255 bytes, of which more than eight are never a size.
    fn long(&mut self) -> Result<(), String> {
        let bytes = self.counted(1)?;
        if bytes.len() > 8 {
            return Err(format!("it has a number of {} bytes", bytes.len()));
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(all)));
        Ok(())
    }

    fn text(&mut self, count: usize) -> Result<(), String> {
        let text = utf8(self.counted(count)?)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.counted(count)?;
        self.stack.push(Value::Bytes);
        Ok(())
    }

    fn put(&mut self, count: usize) -> Result<(), String> {
        let index = self.unsigned(count)?;
        self.memoize(index as u32)
    }

    fn memoize(&mut self, index: u32) -> Result<(), String> {
        let value = *self.stack.last().ok_or(SHORT)?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, count: usize) -> Result<(), String> {
        let index = self.unsigned(count)? as u32;
        let value = self.memo.get(&index).ok_or("it asks for a value that it never kept")?;
        self.stack.push(*value);
        Ok(())
    }

    /// A tuple or list of the stack's values from a height on.
    fn sequence(&mut self, from: usize, kind: fn(usize) -> Value<'a>) {
        let values = self.stack.split_off(from);
        self.pickle.sequences.push(values);
        self.stack.push(kind(self.pickle.sequences.len() - 1));
    }

    fn append(&mut self, from: usize) -> Result<(), String> {
        let values = self.stack.split_off(from);
        let Some(Value::List(at)) = self.stack.last() else {
            return Err("it appends to something other than a list".to_owned());
        };
        self.pickle.sequences[*at].extend(values);
        Ok(())
    }

    fn new_dict(&mut self) {
        self.pickle.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.pickle.dicts.len() - 1));
    }

    fn set_items(&mut self, from: usize) -> Result<(), String> {
        let values = self.stack.split_off(from);
        let (Some(Value::Dict(at)), true) = (self.stack.last(), values.len().is_multiple_of(2)) else {
            return Err("it sets items of something other than a dictionary".to_owned());
        };
        self.pickle.dicts[*at].extend(values.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    /// BUILD: what an object is given beside its items. An `OrderedDict` has versions of modules there, which
    /// are not needed.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            Some(other) => Err(format!("it changes the inside of {}", self.pickle.kind(*other))),
            None => Err(SHORT.to_owned()),
        }
    }

    /// BINPERSID: `("storage", class, key, location, length)`.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let [Value::Text("storage"), Value::Global("torch", class), Value::Text(key), ..] = self.tuple(id)
        else {
            return Err("it has a storage in a form that torch.save does not write".to_owned());
        };
        let element = match *class {
            "DoubleStorage" => Element::Float(Float::F64),
            "FloatStorage" => Element::Float(Float::F32),
            "HalfStorage" => Element::Float(Float::F16),
            "BFloat16Storage" => Element::Float(Float::BF16),
            other => Element::Other(other),
        };
        self.pickle.storages.push(Storage { key, element });
        self.stack.push(Value::Storage(self.pickle.storages.len() - 1));
        Ok(())
    }

    /// REDUCE: a function and its arguments.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        match (function, self.tuple(arguments)) {
            (Value::Global("collections", "OrderedDict"), []) => self.new_dict(),
            (Value::Global("torch._utils", "_rebuild_parameter"), &[tensor @ Value::Tensor(_), ..]) => {
                self.stack.push(tensor);
            }
            (
                Value::Global("torch._utils", "_rebuild_tensor_v2"),
                &[Value::Storage(at), Value::Int(offset), shape, stride, ..],
            ) => {
                let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
                if shape.len() != stride.len() {
                    return Err("it has a tensor with another number of strides than sizes".to_owned());
                }
                let storage = self.pickle.storages[at];
                self.pickle.tensors.push(TensorRef { storage, offset: size(offset)?, shape, stride });
                self.stack.push(Value::Tensor(self.pickle.tensors.len() - 1));
            }
            (Value::Global(module, name), _) => return Err(refusal(module, name)),
            (other, _) => return Err(format!("it calls {}", self.pickle.kind(other))),
        }
        Ok(())
    }

    /// The values of a tuple; none for anything else.
    fn tuple(&self, value: Value) -> &[Value<'a>] {
        if let Value::Tuple(at) = value { &self.pickle.sequences[at] } else { &[] }
    }

    fn sizes(&self, value: Value) -> Result<Vec<usize>, String> {
        let Value::Tuple(_) = value else {
            return Err(format!("it has {} where a tensor's sizes are expected", self.pickle.kind(value)));
        };
        let sizes = self.tuple(value).iter().map(|value| match value {
            Value::Int(number) => size(*number),
            other => Err(format!("it has {} for the size of a tensor", self.pickle.kind(*other))),
        });
        sizes.collect()
    }

    fn refuse_object(&self) -> String {
        let class = self.stack.iter().rev().find_map(|value| match value {
            Value::Global(module, name) => Some(refusal(module, name)),
            _ => None,
        });
        class.unwrap_or_else(|| "it makes an object of no class".to_owned())
    }
}

const SHORT: &str = "it takes more values than it has";

fn size(number: i64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("it has the size {number}"))
}

fn refusal(module: &str, name: &str) -> String {
    format!(
        "it wants to call {module:.60}.{name:.60}, which is never done here, and which only a source you trust may do elsewhere"
    )
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it has a text that is not UTF-8".to_owned())
}
