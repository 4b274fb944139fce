//! Weights on disk: safetensors with torchvision's names.

use crate::{Error, Result, Session, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes named tensors as a safetensors file, with text in its metadata. The file appears whole or not
/// at all, as by [`write_file`]. The same tensors and metadata are the same bytes.
pub fn write_weights(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: HashMap<String, String>,
) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, t)| {
            let view = TensorView::new(Dtype::F32, t.shape().to_vec(), t.as_bytes());
            view.map(|v| (name.as_str(), v)).map_err(|e| Error::data(path, format!("{name}: {e}")))
        })
        .collect::<Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(views, None).map_err(|e| Error::data(path, e.to_string()))?;
    write_file(path, &with_metadata(&bytes, metadata))
}

/// A safetensors file with metadata in its header, sorted: `safetensors::serialize` would write them in a
/// `HashMap`'s order, which is another one in each run, and the same weights would be other bytes.
fn with_metadata(file: &[u8], metadata: HashMap<String, String>) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk().expect("a safetensors file begins with a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header = std::str::from_utf8(header).expect("the header is JSON").trim_end();
    let tensors = header.strip_prefix('{').expect("the header is an object");
    let sorted: BTreeMap<String, String> = metadata.into_iter().collect();
    let pairs: Vec<String> = sorted.iter().map(|(k, v)| format!("{}:{}", json(k), json(v))).collect();
    let comma = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{{{}}}{comma}{tensors}", pairs.join(","));
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A text as JSON.
fn json(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Writes a file that appears whole or not at all, whatever ends the program: it is written beside its
/// place as `NAME.part`, synced and renamed. What was there stays until then, also when writing fails.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(Error::io(&temporary, "create"))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    renamed.map_err(|error| {
        // A part that cannot be removed either does no harm: the next run replaces it.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, "write")(error)
    })
}

/// Loads a safetensors file into a session's model. Nothing is changed unless every tensor of the model
/// is there with its shape, and no other.
pub fn read_weights(path: &Path, session: &mut Session) -> Result<()> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::data(path, format!("is not a safetensors file, or is damaged: {e}")))?;
    let model = session.state_dict()?;
    let mut problems = Vec::new();
    let mut loaded = Vec::new();
    for (name, old) in &model {
        match file.tensor(name) {
            Err(_) => problems.push(format!("{name} is missing")),
            Ok(view) if view.dtype() != Dtype::F32 || view.shape() != old.shape() => problems.push(format!(
                "{name} should be F32 {:?} and is {:?} {:?}",
                old.shape(),
                view.dtype(),
                view.shape()
            )),
            Ok(view) => {
                loaded.push((name, Tensor::f32(old.shape(), bytemuck::pod_collect_to_vec(view.data()))?));
            }
        }
    }
    let known = |name: &&str| model.iter().any(|(n, _)| n == name);
    problems.extend(file.names().iter().filter(|n| !known(n)).map(|n| format!("{n} is not in the model")));
    if !problems.is_empty() {
        return Err(Error::data(path, format!("does not fit the model: {}", problems.join("; "))));
    }
    loaded.into_iter().try_for_each(|(name, tensor)| session.write(name, &tensor))
}
