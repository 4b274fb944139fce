//! Just enough of Python's pickle to read a state dict, and nothing that could do harm.
//!
//! A pickle is a program for a machine with a stack and a memo. Of its instructions those are known here that
//! `torch.save` writes for dictionaries of tensors, and of its calls those that make up data and no more:
//! `OrderedDict`, `Counter`, `torch.Size`, PyTorch's `_rebuild_tensor`, `_rebuild_tensor_v2`, `_rebuild_parameter` and
//! `_rebuild_parameter_with_state`, its class `Parameter`, and the storage that a persistent id names. Any other call is
//! refused by the name of what was to be called.
//!
//! Instructions: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

use super::pickle::{Pickle, Span, Value, shortened};

/// A pickle under way.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack where marks were set.
    marks: Vec<u32>,
    memo: Vec<Option<Value>>,
    pickle: Pickle<'a>,
}

/// Reads the pickle at the front of `bytes`; also tells how many of them it takes.
pub fn run(bytes: &[u8]) -> Result<(Pickle<'_>, usize), String> {
    // Places in it are numbers of 32 bits.
    let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
    let pickle = Pickle { bytes, ..Default::default() };
    let mut machine =
        Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), pickle };
    while machine.step()? {}
    machine.pickle.top = machine.pop()?;
    Ok((machine.pickle, machine.at))
}

impl<'a> Machine<'a> {
    /// One instruction; whether there are more.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            // PROTO and FRAME say nothing of what is read.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len() as u32),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
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
            0x94 => self.memoize(self.memo.len())?,
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            b')' => self.tuple(self.stack.len()),
            b't' => {
                let from = self.mark()?;
                self.tuple(from);
            }
            count @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(count - 0x84)).ok_or(SHORT)?;
                self.tuple(from);
            }
            b']' => self.container(Value::List),
            b'l' => {
                let from = self.mark()?;
                let values = self.stack.split_off(from);
                self.container(Value::List);
                self.hold(values)?;
            }
            b'a' => self.append(self.stack.len().saturating_sub(1))?,
            b'e' => {
                let from = self.mark()?;
                self.append(from)?;
            }
            b'}' => self.container(Value::Dict),
            b's' => self.set_items(self.stack.len().saturating_sub(2))?,
            b'u' => {
                let from = self.mark()?;
                self.set_items(from)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err("it names a class by something other than text".to_owned());
                };
                self.global(module, name);
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            0x81 => self.new_object()?,
            b'b' => self.build()?,
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                return Err(refusal(self.pickle.str(module), self.pickle.str(name)));
            }
            // NEWOBJ_EX and OBJ: class and arguments, of which the class is the first global.
            0x92 | b'o' => return Err(self.refuse_object()),
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

    /// Where the bytes are whose number the `count` bytes before them say.
    fn counted(&mut self, count: usize) -> Result<Span, String> {
        let length = self.unsigned(count)?;
        let from = self.at;
        let taken = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Span { from: from as u32, len: taken.len() as u32 })
    }

    fn line(&mut self) -> Result<Span, String> {
        let (from, rest) = (self.at, &self.bytes[self.at..]);
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("a name in it has no end")?;
        self.at += len + 1;
        self.checked(Span { from: from as u32, len: len as u32 })
    }

    /// A text, if it is one.
    fn checked(&self, text: Span) -> Result<Span, String> {
        match std::str::from_utf8(text.of(self.bytes)) {
            Ok(_) => Ok(text),
            Err(_) => Err("it has a text that is not UTF-8".to_owned()),
        }
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| SHORT.to_owned())
    }

    /// Height of the stack at the last mark, which is removed.
    fn mark(&mut self) -> Result<usize, String> {
        let height = self.marks.pop().ok_or(SHORT)? as usize;
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
        let place = self.counted(1)?;
        let bytes = place.of(self.bytes);
        if bytes.len() > 8 {
            self.stack.push(Value::Long(place));
            return Ok(());
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(all)));
        Ok(())
    }

    fn text(&mut self, count: usize) -> Result<(), String> {
        let place = self.counted(count)?;
        let text = self.checked(place)?;
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
        // Places are given out in order, so there is no more of them than instructions.
        let index = usize::try_from(index).ok().filter(|index| *index <= self.at);
        self.memoize(index.ok_or("it keeps a value in a place out of order")?)
    }

    fn memoize(&mut self, index: usize) -> Result<(), String> {
        let value = *self.stack.last().ok_or(SHORT)?;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(value);
        Ok(())
    }

    fn get(&mut self, count: usize) -> Result<(), String> {
        let index = self.unsigned(count)?;
        let kept = usize::try_from(index).ok().and_then(|index| self.memo.get(index).copied().flatten());
        self.stack.push(kept.ok_or("it asks for a value that it never kept")?);
        Ok(())
    }

    /// A tuple of the stack's values from a height on.
    fn tuple(&mut self, from: usize) {
        let (start, values) = (self.pickle.tuples.len(), self.stack.drain(from..));
        let len = values.len();
        self.pickle.tuples.extend(values);
        self.stack.push(Value::Tuple(Span { from: start as u32, len: len as u32 }));
    }

    fn global(&mut self, module: Span, name: Span) {
        self.pickle.globals.push((module, name));
        self.stack.push(Value::Global(self.pickle.globals.len() as u32 - 1));
    }

    /// An empty list or dictionary.
    fn container(&mut self, kind: fn(u32) -> Value) {
        self.stack.push(kind(self.pickle.containers));
        self.pickle.containers += 1;
    }

    fn append(&mut self, from: usize) -> Result<(), String> {
        let values = self.stack.split_off(from);
        match self.stack.last() {
            Some(Value::List(_)) => self.hold(values),
            _ => Err("it appends to something other than a list".to_owned()),
        }
    }

    fn set_items(&mut self, from: usize) -> Result<(), String> {
        let values = self.stack.split_off(from);
        match self.stack.last() {
            Some(Value::Dict(_)) if values.len().is_multiple_of(2) => self.hold(values),
            _ => Err("it sets items of something other than a dictionary".to_owned()),
        }
    }

    /// Gives values to the list or dictionary on top of the stack.
    fn hold(&mut self, values: Vec<Value>) -> Result<(), String> {
        let Some(Value::List(holder) | Value::Dict(holder)) = self.stack.last() else {
            return Err(SHORT.to_owned());
        };
        self.pickle.held.extend(values.into_iter().map(|value| (*holder, value)));
        Ok(())
    }

    /// BUILD: what an object is given beside its items. An `OrderedDict` has versions of modules there, which
    /// are not needed; a parameter that was made empty has its tensor there.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            Some(Value::Parameter(number)) => {
                if let Some(tensor @ Value::Tensor(_)) = self.pickle.tuple(state).first().copied() {
                    self.pickle.parameters[*number as usize] = tensor;
                }
                Ok(())
            }
            Some(other) => Err(format!("it changes the inside of {}", self.pickle.kind(*other))),
            None => Err(SHORT.to_owned()),
        }
    }

    /// BINPERSID: the tuple of a storage.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let named = match (id, self.pickle.tuple(id)) {
            (Value::Tuple(span), &[kind, Value::Global(class), Value::Text(_), ..])
                if self.pickle.is(kind, "storage") && self.is_of_torch(class) =>
            {
                Some(span)
            }
            _ => None,
        };
        let named = named.ok_or("it has a storage in a form that torch.save does not write")?;
        self.pickle.storages.push(named);
        self.stack.push(Value::Storage(named));
        Ok(())
    }

    fn is_of_torch(&self, class: u32) -> bool {
        let (module, _) = self.pickle.globals[class as usize];
        module.of(self.bytes) == b"torch"
    }

    /// REDUCE: a function and its arguments.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(called) = function else {
            return Err(format!("it calls {}", self.pickle.kind(function)));
        };
        let (module, name) = self.pickle.globals[called as usize];
        let called_as = (module.of(self.bytes), name.of(self.bytes));
        let made = match (called_as, self.pickle.tuple(arguments)) {
            ((b"collections", b"OrderedDict"), []) => {
                self.container(Value::Dict);
                return Ok(());
            }
            // A schedule counts its milestones: it is data that nobody here asks for.
            ((b"collections", b"Counter"), [counts @ Value::Dict(_)]) => *counts,
            ((b"torch", b"Size"), [sizes @ Value::Tuple(_)]) => *sizes,
            ((b"torch.nn.parameter", b"Parameter"), arguments) => {
                let tensor = arguments.first().copied().filter(|value| matches!(value, Value::Tensor(_)));
                self.pickle.parameters.push(tensor.unwrap_or_default());
                Value::Parameter(self.pickle.parameters.len() as u32 - 1)
            }
            (
                (b"torch._utils", b"_rebuild_parameter" | b"_rebuild_parameter_with_state"),
                [tensor @ Value::Tensor(_), ..],
            ) => *tensor,
            (
                (b"torch._utils", b"_rebuild_tensor" | b"_rebuild_tensor_v2"),
                [Value::Storage(_), Value::Int(_), Value::Tuple(_), Value::Tuple(_), ..],
            ) => match arguments {
                Value::Tuple(span) => Value::Tensor(span),
                _ => unreachable!("only tuples have values"),
            },
            _ => return Err(refusal(self.pickle.str(module), self.pickle.str(name))),
        };
        self.stack.push(made);
        Ok(())
    }

    /// NEWOBJ: a class and its arguments, which old files have for parameters.
    fn new_object(&mut self) -> Result<(), String> {
        match self.stack.last_chunk() {
            Some([Value::Global(class), Value::Tuple(_)])
                if self.pickle.global(*class) == ("torch.nn.parameter", "Parameter") =>
            {
                self.call()
            }
            _ => Err(self.refuse_object()),
        }
    }

    fn refuse_object(&self) -> String {
        let class = self.stack.iter().rev().find_map(|value| match value {
            Value::Global(number) => Some(self.pickle.global(*number)),
            _ => None,
        });
        class.map_or_else(
            || "it makes an object of no class".to_owned(),
            |(module, name)| refusal(module, name),
        )
    }
}

const SHORT: &str = "it takes more values than it has";

fn refusal(module: &str, name: &str) -> String {
    let (module, name) = (shortened(module), shortened(name));
    format!(
        "it wants to call {module}.{name}, which is never done here, and which only a source you trust may do elsewhere"
    )
}
