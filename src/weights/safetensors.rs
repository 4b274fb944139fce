//! The safetensors format: a length, a header of JSON, then the tensors' bytes.
//!
//! Layout: <https://github.com/huggingface/safetensors>.

use super::element::Float;
use super::{COUNTER, Stored, Tensors};
use crate::file::write_with;
use crate::{Result, Tensor};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The tensors and the metadata of a file, or what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<(Tensors, BTreeMap<String, String>), String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| explain(bytes, e))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| explain(bytes, e))?;
    let tensor = |view: TensorView| -> Result<Stored> {
        let float = match view.dtype() {
            Dtype::F64 => Float::F64,
            Dtype::F32 => Float::F32,
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::BF16,
            other => return Ok(Stored::Other(other.to_string())),
        };
        float.tensor(view.shape(), view.data())
    };
    let tensors = file.iter().map(|(name, view)| Ok((name.to_owned(), tensor(view)?)));
    let tensors = tensors.collect::<Result<_>>().map_err(|e| e.to_string())?;
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
    Ok((tensors, metadata.collect()))
}

fn explain(bytes: &[u8], error: SafeTensorError) -> String {
    if bytes.is_empty() {
        return "is empty; give a safetensors file or a .pth archive".to_owned();
    }
    let what = match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            "its tensors and its length differ, as where it was cut short".to_owned()
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("the place of {name} in it overlaps another tensor's or leaves a gap")
        }
        SafeTensorError::InvalidHeaderLength => "its header is longer than the file".to_owned(),
        SafeTensorError::TensorInvalidInfo => "a tensor's shape does not fit its bytes".to_owned(),
        other => other.to_string(),
    };
    format!("is not a safetensors file nor a .pth archive, or is damaged ({what}); fetch or write it again")
}

/// Writes named tensors as a safetensors file, with text in its metadata. The file appears whole or not
/// at all. The same tensors and metadata are the same bytes.
///
/// Each batch norm, known by its `running_mean`, gets the counter `num_batches_tracked` that PyTorch's have.
/// It is 0: PyTorch reads it only where a batch norm has no momentum, which striate's always have.
pub fn write(path: &Path, tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    write_with(path, &|out| write_to(out, tensors, metadata))
}

/// The same file as bytes, to anything that takes them.
///
/// # Errors
///
/// What `out` says, and [`std::io::ErrorKind::InvalidInput`] for tensors of one name.
pub fn write_to(
    out: &mut dyn Write,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let zero = 0i64.to_le_bytes();
    let norms = tensors.iter().filter_map(|(name, _)| name.strip_suffix("running_mean"));
    let counters = norms.map(|norm| (format!("{norm}{COUNTER}"), Dtype::I64, vec![], &zero[..]));
    let floats = tensors.iter().map(|(name, t)| (name.clone(), Dtype::F32, t.shape().to_vec(), t.as_bytes()));
    let views = floats.chain(counters).map(|(name, dtype, shape, bytes)| {
        let unfit = |e: SafeTensorError| io::Error::new(ErrorKind::InvalidInput, format!("{name}: {e}"));
        let view = TensorView::new(dtype, shape, bytes).map_err(unfit)?;
        Ok((name, view))
    });
    let views = views.collect::<io::Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(views, None);
    let bytes = bytes.map_err(|e| io::Error::new(ErrorKind::InvalidInput, e))?;
    out.write_all(&with_metadata(&bytes, metadata))
}

/// A safetensors file with metadata in its header, sorted: `safetensors::serialize` would write them in a
/// `HashMap`'s order, which is another one in each run, and the same weights would be other bytes.
fn with_metadata(file: &[u8], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk().expect("a safetensors file begins with a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header = std::str::from_utf8(header).expect("the header is JSON").trim_end();
    let tensors = header.strip_prefix('{').expect("the header is an object");
    let json = |text: &str| serde_json::Value::from(text);
    let pairs: Vec<String> = metadata.iter().map(|(k, v)| format!("{}:{}", json(k), json(v))).collect();
    let comma = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{{{}}}{comma}{tensors}", pairs.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}
