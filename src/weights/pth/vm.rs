//! A restricted pickle virtual machine: enough to read a state dict, and nothing that executes code.
//!
//! A pickle is a program for a machine with a stack and a memo. Only the opcodes that `torch.save` emits for
//! dictionaries of tensors are supported. The only calls are those that build data: `OrderedDict`, `Counter`,
//! `torch.Size`, PyTorch's `Parameter`, `_rebuild_tensor`, `_rebuild_tensor_v2`, `_rebuild_parameter` and
//! `_rebuild_parameter_with_state`, and persistent ids that name storages. Any other call is rejected by name.
//!
//! Opcodes: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

use super::pickle::{Pickle, Span, Value, shortened};

/// The state of execution.
struct Vm<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Stack heights at which marks were set.
    marks: Vec<u32>,
    memo: Vec<Option<Value>>,
    pickle: Pickle<'a>,
}

/// Executes the pickle at the start of `bytes`; also returns its length in bytes.
pub fn run(bytes: &[u8]) -> Result<(Pickle<'_>, usize), String> {
    // Spans have 32-bit offsets.
    let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
    let pickle = Pickle { bytes, ..Default::default() };
    let mut vm = Vm { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Vec::new(), pickle };
    while vm.step()? {}
    vm.pickle.top = vm.pop()?;
    Ok((vm.pickle, vm.at))
}

impl<'a> Vm<'a> {
    /// Executes one opcode. Returns false at the end of the pickle.
    fn step(&mut self) -> Result<bool, String> {
        match self.byte()? {
            // PROTO and FRAME do not affect the result.
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
                let number = self.unsigned(4)? as i32;
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
            b't' => self.mark().map(|from| self.tuple(from))?,
            count @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(count - 0x84)).ok_or(SHORT)?;
                self.tuple(from);
            }
            b']' => self.container(Value::List),
            b'l' => {
                let from = self.mark()?;
                let values = self.stack.split_off(from);
                self.container(Value::List);
                self.push_items(values)?;
            }
            b'a' => self.append(self.stack.len().saturating_sub(1))?,
            b'e' => self.mark().and_then(|from| self.append(from))?,
            b'}' => self.container(Value::Dict),
            b's' => self.set_items(self.stack.len().saturating_sub(2))?,
            b'u' => self.mark().and_then(|from| self.set_items(from))?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    return Err("a class name in it is not a string".to_owned());
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
            // NEWOBJ_EX and OBJ.
            0x92 | b'o' => return Err(self.refuse_object()),
            other => return Err(format!("the opcode {other:#04x} does not occur in a state dict")),
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let bytes = self.bytes[self.at..].get(..count).ok_or("it ends in the middle of an opcode")?;
        self.at += count;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian integer of `count` bytes.
    fn unsigned(&mut self, count: usize) -> Result<u64, String> {
        let bytes = self.take(count)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The span of a byte string that is preceded by its length in `count` bytes.
    fn counted(&mut self, count: usize) -> Result<Span, String> {
        let length = self.unsigned(count)?;
        let from = self.at;
        let taken = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Span { from: from as u32, len: taken.len() as u32 })
    }

    fn line(&mut self) -> Result<Span, String> {
        let (from, rest) = (self.at, &self.bytes[self.at..]);
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("it ends in the middle of a name")?;
        self.at += len + 1;
        self.checked(Span { from: from as u32, len: len as u32 })
    }

    fn checked(&self, text: Span) -> Result<Span, String> {
        match std::str::from_utf8(text.of(self.bytes)) {
            Ok(_) => Ok(text),
            Err(_) => Err("a string in it is not UTF-8".to_owned()),
        }
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| SHORT.to_owned())
    }

    /// Pops the last mark and returns its stack height.
    fn mark(&mut self) -> Result<usize, String> {
        let height = self.marks.pop().ok_or(SHORT)? as usize;
        if height > self.stack.len() { Err(SHORT.to_owned()) } else { Ok(height) }
    }

    fn integer(&mut self, count: usize) -> Result<(), String> {
        let number = self.unsigned(count)?;
        // Lossless: callers read at most two bytes.
        self.stack.push(Value::Int(number as i64));
        Ok(())
    }

    /// LONG1: an integer of up to 255 bytes. One of more than eight cannot be a size and stays undecoded.
    fn long(&mut self) -> Result<(), String> {
        let span = self.counted(1)?;
        let bytes = span.of(self.bytes);
        if bytes.len() > 8 {
            self.stack.push(Value::Long(span));
            return Ok(());
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(all)));
        Ok(())
    }

    fn text(&mut self, count: usize) -> Result<(), String> {
        let span = self.counted(count)?;
        let text = self.checked(span)?;
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
        // Picklers assign memo indices in order, so an index is below the number of bytes read so far.
        let index = usize::try_from(index).ok().filter(|index| *index <= self.at);
        self.memoize(index.ok_or("it uses memo indices out of order")?)
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
        let value = usize::try_from(index).ok().and_then(|index| self.memo.get(index).copied().flatten());
        self.stack.push(value.ok_or("it reads a memo entry that was never set")?);
        Ok(())
    }

    /// Replaces the stack's values from height `from` up with a tuple of them.
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

    /// Pushes an empty list or dictionary.
    fn container(&mut self, kind: fn(u32) -> Value) {
        self.stack.push(kind(self.pickle.containers));
        self.pickle.containers += 1;
    }

    fn append(&mut self, from: usize) -> Result<(), String> {
        let values = self.stack.split_off(from);
        match self.stack.last() {
            Some(Value::List(_)) => self.push_items(values),
            _ => Err("it appends to something other than a list".to_owned()),
        }
    }

    fn set_items(&mut self, from: usize) -> Result<(), String> {
        let values = self.stack.split_off(from);
        match self.stack.last() {
            Some(Value::Dict(_)) if values.len().is_multiple_of(2) => self.push_items(values),
            _ => Err("it sets items of something other than a dictionary".to_owned()),
        }
    }

    /// Adds values to the list or dictionary on top of the stack.
    fn push_items(&mut self, values: Vec<Value>) -> Result<(), String> {
        let Some(Value::List(container) | Value::Dict(container)) = self.stack.last() else {
            return Err(SHORT.to_owned());
        };
        self.pickle.items.extend(values.into_iter().map(|value| (*container, value)));
        Ok(())
    }

    /// BUILD: sets the attributes of an object. For an `OrderedDict` these are module versions, which are ignored; for
    /// an empty `Parameter` they hold its tensor.
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
            Some(other) => Err(format!("it sets attributes of {}", self.pickle.kind(*other))),
            None => Err(SHORT.to_owned()),
        }
    }

    /// BINPERSID: a tuple that describes a storage.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let named = match (id, self.pickle.tuple(id)) {
            (Value::Tuple(span), &[kind, Value::Global(class), Value::Text(_), ..])
                if self.pickle.is(kind, "storage")
                    && self.pickle.globals[class as usize].0.of(self.bytes) == b"torch" =>
            {
                Some(span)
            }
            _ => None,
        };
        let named = named.ok_or("it describes a storage in a form unknown to torch.save")?;
        self.pickle.storages.push(named);
        self.stack.push(Value::Storage(named));
        Ok(())
    }

    /// REDUCE: calls a function with arguments.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(called) = function else {
            return Err(format!("it calls {}", self.pickle.kind(function)));
        };
        let (module, name) = self.pickle.globals[called as usize];
        let called_as = (module.of(self.bytes), name.of(self.bytes));
        let value = match (called_as, self.pickle.tuple(arguments)) {
            ((b"collections", b"OrderedDict"), []) => {
                self.container(Value::Dict);
                return Ok(());
            }
            // The milestones of a learning-rate scheduler.
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
        self.stack.push(value);
        Ok(())
    }

    /// NEWOBJ: instantiates a class; old files create parameters this way.
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
            || "it instantiates something that is not a class".to_owned(),
            |(module, name)| refusal(module, name),
        )
    }
}

const SHORT: &str = "it pops more values than its stack holds";

fn refusal(module: &str, name: &str) -> String {
    let (module, name) = (shortened(module), shortened(name));
    format!(
        "it calls {module}.{name}, which striate never executes; before loading it elsewhere, make sure you trust its source"
    )
}
