//! Output folders, which may also contain other files.

mod lock;
mod manifest;

use crate::file::{Content, Part, remove_leftovers, retried};
use crate::{Error, Result};
use lock::Lock;
use manifest::Manifest;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// A folder for results, which one process at a time writes to.
///
/// It tracks its own files in a manifest, `.striate.json`, with an owner for each. Only those are ever replaced or removed;
/// any other file in the way is an error. Subfolders may not be symbolic links. `.striate.lock` keeps other processes out
/// until this is dropped or the process ends.
///
/// Names are relative to the folder, separated by `/`. Files are written atomically in two steps: [`stage`](Self::stage) writes
/// them under temporary names, and [`commit`](Self::commit) or [`replace`](Self::replace) moves all of them into place.
/// Dropping this removes files that are only staged, and folders created for them.
///
/// ```
/// # fn main() -> striate::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("results");
/// let folder = striate::OutputFolder::open(&path, "demo")?;
/// folder.check(&["table.csv", "figures/"])?;
/// folder.write("table.csv", b"epoch,loss\n")?;
/// assert!(striate::OutputFolder::open(&path, "demo").is_err(), "it is in use");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    owner: String,
    state: Mutex<State>,
    lock: Option<Lock>,
}

#[derive(Debug, Default)]
struct State {
    manifest: Manifest,
    /// Files to be moved into place, by name.
    staged: Vec<(String, Part)>,
    /// Folders created since this was opened, parents first.
    made: Vec<PathBuf>,
}

impl OutputFolder {
    /// Opens a folder, creating it if needed. `owner` is a word such as `run` that the manifest stores with each file.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] if it cannot be created or written, its manifest is invalid, or another process has it open, which the
    /// message names. [`Error::Io`] if the manifest cannot be read.
    pub fn open(path: &Path, owner: &str) -> Result<Self> {
        Self::locked(path, owner, make_all(path)?)
    }

    /// Creates a new folder; `None` if the path exists already.
    ///
    /// # Errors
    ///
    /// As for [`OutputFolder::open`].
    pub fn create(path: &Path, owner: &str) -> Result<Option<Self>> {
        refuse_file(path)?;
        if path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        let mut made = path.parent().map_or(Ok(Vec::new()), make_all)?;
        if !make(path)? {
            return Ok(None);
        }
        made.push(path.to_owned());
        Self::locked(path, owner, made).map(Some)
    }

    fn locked(path: &Path, owner: &str, made: Vec<PathBuf>) -> Result<Self> {
        let undo = || made.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
        let lock = Lock::take(path).inspect_err(|_| undo())?;
        let manifest = Manifest::read(path)?;
        remove_leftovers(path);
        let real = |folder: &&String| refuse_links(path, folder).is_ok();
        manifest.folders.keys().filter(real).for_each(|folder| remove_leftovers(&path.join(folder)));
        let state = Mutex::new(State { manifest, staged: Vec::new(), made });
        Ok(Self { path: path.to_owned(), owner: owner.to_owned(), state, lock: Some(lock) })
    }

    /// Whether a folder is an output folder, that is, has a manifest.
    pub fn is_one(path: &Path) -> bool {
        path.join(manifest::NAME).is_file()
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that these names can be written: that each is free or one of the folder's own files. A name that ends in `/`
    /// is a subfolder, which may also be empty.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for the first name that cannot.
    pub fn check(&self, names: &[&str]) -> Result<()> {
        let manifest = &self.state().manifest;
        names.iter().try_for_each(|name| self.free(manifest, name).map(drop))
    }

    /// The owner's existing files, sorted.
    pub fn files(&self) -> Vec<String> {
        let state = self.state();
        let ours = state.manifest.files.iter().filter(|(_, owner)| **owner == self.owner);
        let there = ours.map(|(name, _)| name).filter(|name| self.path.join(name).symlink_metadata().is_ok());
        there.cloned().collect()
    }

    /// Adds existing regular files to the manifest, for folders written without one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the manifest cannot be written.
    pub fn adopt<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut state = self.state();
        let regular = |name: &&str| {
            let kind = self.path.join(name).symlink_metadata();
            kind.is_ok_and(|kind| kind.is_file()) && refuse_links(&self.path, parent_of(name)).is_ok()
        };
        let before = state.manifest.clone();
        for name in names.into_iter().filter(regular) {
            state.manifest.add(name, &self.owner);
        }
        state.save(&self.path, &before)
    }

    /// Writes a file to be moved into place later. `content` may be called twice.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written, [`Error::Data`] if a file that is not the folder's own is in the way.
    pub fn stage(&self, name: &str, content: Content) -> Result<()> {
        let mut state = self.state();
        let path = self.free(&state.manifest, name)?;
        self.make_parents(&mut state, name)?;
        let part = Part::write(&path, content)?;
        state.staged.retain(|(other, _)| other != name);
        state.staged.push((name.to_owned(), part));
        Ok(())
    }

    /// Moves all staged files into place, in the order they were staged.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one cannot be moved. It and the remaining ones are removed.
    pub fn commit(&self) -> Result<()> {
        let mut state = self.state();
        let before = state.manifest.clone();
        let staged = std::mem::take(&mut state.staged);
        for (name, _) in &staged {
            state.manifest.add(name, &self.owner);
        }
        let first = staged.first().map_or(self.path.clone(), |(name, _)| self.path.join(name));
        state.save(&self.path, &before).map_err(|error| of_file(&first, error))?;
        staged.into_iter().try_for_each(|(_, part)| part.place())
    }

    /// Like [`commit`](Self::commit), but first removes all of the owner's old files, so that old and new ones never coexist.
    ///
    /// # Errors
    ///
    /// As for [`OutputFolder::commit`].
    pub fn replace(&self) -> Result<()> {
        let new: Vec<String> = self.state().staged.iter().map(|(name, _)| name.clone()).collect();
        let mut old = self.files();
        old.sort_by_key(|name| !new.contains(name));
        self.remove(&old)?;
        let mut state = self.state();
        let before = state.manifest.clone();
        // `remove_dir` fails unless the folder is empty, so folders with staged or foreign files stay.
        let ours = state.manifest.folders.iter().filter(|(_, owner)| **owner == self.owner);
        let ours: Vec<String> = ours.map(|(name, _)| name.clone()).collect();
        for folder in ours.into_iter().rev() {
            let path = self.path.join(&folder);
            if fs::remove_dir(&path).is_ok() || path.symlink_metadata().is_err() {
                state.manifest.folders.remove(&folder);
            }
        }
        state.save(&self.path, &before)?;
        drop(state);
        self.commit()
    }

    /// Writes one file.
    ///
    /// # Errors
    ///
    /// As for [`OutputFolder::stage`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_with(name, &|out: &mut dyn Write| out.write_all(bytes))
    }

    /// Writes one file, whose content need not fit in memory. `content` may be called twice.
    ///
    /// # Errors
    ///
    /// As for [`OutputFolder::stage`].
    pub fn write_with(&self, name: &str, content: Content) -> Result<()> {
        self.stage(name, content)?;
        self.commit()
    }

    /// Appends to a file, for files that other programs read as they grow; creates it if needed. A write that fails is undone.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be written, [`Error::Data`] if something that is not the folder's own file is in the way.
    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let path = self.free(&state.manifest, name)?;
        if path.symlink_metadata().is_ok_and(|kind| !kind.is_file()) {
            return Err(Error::data(path, "is not a regular file; remove it, or choose another folder"));
        }
        self.make_parents(&mut state, name)?;
        let before = state.manifest.clone();
        state.manifest.add(name, &self.owner);
        state.save(&self.path, &before).map_err(|error| of_file(&path, error))?;
        retried(&path, "write", || {
            let mut file = File::options().append(true).create(true).open(&path)?;
            let length = file.metadata()?.len();
            file.write_all(bytes).inspect_err(|_| drop(file.set_len(length)))
        })
    }

    /// Removes files that are in the manifest; other names are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if one cannot be removed.
    pub fn remove(&self, names: &[String]) -> Result<()> {
        let mut state = self.state();
        let before = state.manifest.clone();
        let mut ours = names.iter().filter(|name| before.files.contains_key(*name));
        let removed = ours.try_for_each(|name| {
            let path = self.free(&before, name)?;
            retried(&path, "remove", || match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            })?;
            state.manifest.files.remove(name);
            Ok(())
        });
        // Removed files must leave the manifest, since another program may create files of the same name.
        removed.and(state.save(&self.path, &before))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The path of a name; fails if something else is in the way.
    fn free(&self, manifest: &Manifest, name: &str) -> Result<PathBuf> {
        // A trailing `/` would follow a link.
        let path = self.path.join(valid(name)?.trim_end_matches('/'));
        refuse_links(&self.path, parent_of(name))?;
        let problem = match path.symlink_metadata() {
            Err(_) => return Ok(path),
            Ok(kind) if name.ends_with('/') => {
                refuse_links(&self.path, name)?;
                let empty = || fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
                match kind.is_dir() && (manifest.folders.contains_key(name) || empty()) {
                    true => return Ok(path),
                    false => "has files that striate did not write",
                }
            }
            Ok(kind) if kind.is_dir() => "is a folder, expected a file",
            Ok(_) if manifest.files.contains_key(name) => return Ok(path),
            Ok(_) => "exists, and is not listed as written by striate",
        };
        Err(Error::data(path, format!("{problem}; move it away, or choose another folder")))
    }

    fn make_parents(&self, state: &mut State, name: &str) -> Result<()> {
        let before = state.manifest.clone();
        let inner = name.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &name[..=at]);
        let missing: Vec<&str> = inner.filter(|folder| !self.path.join(folder).exists()).collect();
        for folder in &missing {
            state.manifest.folders.insert((*folder).to_owned(), self.owner.clone());
        }
        // Listed before they are created, so that folders left by a killed process are known.
        state.save(&self.path, &before).map_err(|error| of_file(&self.path.join(name), error))?;
        for folder in missing {
            let path = self.path.join(folder);
            if make(&path)? {
                state.made.push(path);
            }
        }
        Ok(())
    }
}

impl Drop for OutputFolder {
    /// Removes everything that was created but remained unused.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.staged.clear();
        let before = state.manifest.clone();
        for made in state.made.iter().rev().filter(|made| **made != self.path && made.starts_with(&self.path))
        {
            // Fails unless the folder is empty.
            if fs::remove_dir(made).is_ok() {
                state.manifest.folders.retain(|folder, _| self.path.join(folder) != *made);
            }
        }
        let _ = state.save(&self.path, &before);
        drop(self.lock.take());
        for made in state.made.iter().rev() {
            let _ = fs::remove_dir(made);
        }
    }
}

impl State {
    /// Writes the manifest if it differs from `before`. If that fails, restores `before`, so that a later attempt writes it again.
    fn save(&mut self, folder: &Path, before: &Manifest) -> Result<()> {
        if self.manifest == *before {
            return Ok(());
        }
        self.manifest.write(folder).inspect_err(|_| self.manifest = before.clone())
    }
}

/// Reports a failure to write the manifest as one for the file, which means more to the user.
fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Io { source, .. } => Error::io(path, "write")(source),
        other => other,
    }
}

/// Rejects names that lead out of the folder.
fn valid(name: &str) -> Result<&str> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    match !name.is_empty() && inside {
        true => Ok(name),
        false => Err(Error::argument(
            format!("{name:?}"),
            "is not the name of a file in the folder; use a relative path",
        )),
    }
}

/// The part of a name before its last `/`.
fn parent_of(name: &str) -> &str {
    name.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Fails if a subfolder or one of its parents is not a real folder: a link may lead anywhere.
fn refuse_links(root: &Path, subfolder: &str) -> Result<()> {
    let mut path = root.to_owned();
    for part in Path::new(subfolder).components() {
        path.push(part);
        let kind = match path.symlink_metadata() {
            Ok(kind) if kind.is_dir() => continue,
            Ok(kind) if kind.is_symlink() => "is a symbolic link, which is not followed",
            Ok(_) => "is a file, expected a folder",
            Err(_) => return Ok(()),
        };
        return Err(Error::data(path, format!("{kind}; move it away, or choose another folder")));
    }
    Ok(())
}

/// Creates a folder and its missing parents; returns those created, outermost first.
fn make_all(path: &Path) -> Result<Vec<PathBuf>> {
    refuse_file(path)?;
    let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
    let mut made = Vec::new();
    for folder in missing.collect::<Vec<_>>().into_iter().rev() {
        if make(folder)? {
            made.push(folder.to_owned());
        }
    }
    Ok(made)
}

/// Creates a folder; false if it exists.
fn make(folder: &Path) -> Result<bool> {
    let made = retried(folder, "create the folder", || match fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    made.map_err(|error| match error {
        Error::Io { source, .. } => {
            Error::data(folder, format!("cannot create the folder ({source}); choose another"))
        }
        other => other,
    })
}

/// Fails if the path of a folder is a file or leads through one.
fn refuse_file(folder: &Path) -> Result<()> {
    match folder.ancestors().find(|p| p.exists()).filter(|p| !p.is_dir()) {
        Some(file) => Err(Error::data(file, "is a file, expected a folder; choose another name")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
