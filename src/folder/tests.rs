use super::*;
use std::path::Path;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, owner: &str) -> OutputFolder {
        OutputFolder::open(&self.at("out"), owner).unwrap()
    }

    fn put(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }
}

/// All files below a folder, with their content.
fn all(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(self::all(&path)),
            false => {
                all.push(format!("{} {}", path.display(), fs::read_to_string(&path).unwrap_or_default()))
            }
        }
    }
    all.sort();
    all
}

fn names(root: &Path) -> Vec<String> {
    let names = all(root).into_iter().map(|line| {
        let path = line.split(' ').next().unwrap().to_owned();
        path.strip_prefix(root.to_str().unwrap()).unwrap()[1..].to_owned()
    });
    names.collect()
}

#[track_caller]
fn refused(result: Result<()>, words: &[&str]) {
    let message = result.expect_err("an error was expected").to_string();
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
}

#[test]
fn only_listed_files_are_replaced() {
    let place = Place::new();
    place.put("out/mine.txt", "mine");
    let folder = place.open("page");
    folder.check(&["index.html", "map/"]).unwrap();
    folder.write("index.html", b"1").unwrap();
    folder.write("map/a", b"1").unwrap();
    folder.write("map/b", b"1").unwrap();
    folder.write("peaks/c", b"1").unwrap();
    drop(folder);
    place.put("out/map/mine.txt", "mine");

    let other = place.open("other");
    other.write("theirs", b"theirs").unwrap();
    drop(other);
    let folder = place.open("page");
    folder.check(&["index.html", "map/", "map/a"]).unwrap();
    folder.stage("map/a", &|out| out.write_all(b"2")).unwrap();
    folder.stage("index.html", &|out| out.write_all(b"2")).unwrap();
    assert_eq!(fs::read(place.at("out/index.html")).unwrap(), b"1", "before the new one is whole");
    folder.replace().unwrap();
    assert_eq!(folder.files(), ["index.html", "map/a"]);
    drop(folder);
    assert_eq!(
        names(&place.at("out")),
        [".striate.json", "index.html", "map/a", "map/mine.txt", "mine.txt", "theirs"]
    );
    assert_eq!(fs::read(place.at("out/map/a")).unwrap(), b"2");
    assert!(!place.at("out/peaks").exists(), "empty folders in the manifest are removed");
}

#[test]
fn files_of_others_are_rejected_and_kept() {
    let place = Place::new();
    place.put("out/index.html", "mine");
    place.put("out/classes/cat.png", "mine");
    place.put("out/folder/sub/x", "mine");
    fs::create_dir(place.at("out/empty")).unwrap();
    let before = all(&place.at("out"));
    let folder = place.open("page");
    refused(folder.check(&["index.html"]), &["out/index.html", "not listed", "move it away"]);
    refused(folder.check(&["new", "classes/"]), &["out/classes: has files", "another folder"]);
    refused(folder.check(&["folder"]), &["out/folder: is a folder, expected a file"]);
    refused(folder.check(&["index.html/"]), &["index.html: is a file, expected a folder"]);
    folder.check(&["empty/", "new", "new/"]).unwrap();
    refused(folder.write("index.html", b""), &["not listed as written by striate"]);
    refused(folder.write("index.html/x", b""), &["index.html: is a file"]);
    refused(folder.stage("classes/cat.png", &|_| Ok(())), &["not listed as written by striate"]);
    folder.remove(&["index.html".to_owned()]).unwrap();
    for name in ["", "/etc/passwd", "../x", "a/../../x"] {
        refused(folder.write(name, b""), &["is not the name of a file in the folder"]);
    }
    drop(folder);
    assert_eq!(all(&place.at("out")), before);
}

#[test]
fn appended_files_belong_to_the_folder() {
    let place = Place::new();
    place.put("out/theirs", "mine");
    let folder = place.open("run");
    for text in ["one ", "two"] {
        folder.append("log/events", text.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(place.at("out/log/events")).unwrap(), "one two");
    refused(folder.append("theirs", b"ours"), &["not listed as written by striate"]);
    assert_eq!(folder.files(), ["log/events"]);
    folder.replace().unwrap();
    drop(folder);
    assert_eq!(names(&place.at("out")), ["theirs"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_only_for_the_folder_itself() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.put("elsewhere/a", "mine");
    place.put("out/x", "x");
    symlink(place.at("elsewhere"), place.at("out/link")).unwrap();
    let folder = place.open("run");
    refused(folder.check(&["link/"]), &["out/link", "symbolic link"]);
    refused(folder.write("link/a", b"ours"), &["out/link", "symbolic link"]);
    folder.write("sub/a", b"ours").unwrap();
    // A file of ours that was replaced by a link.
    folder.append("log", b"ours").unwrap();
    fs::remove_file(place.at("out/log")).unwrap();
    symlink(place.at("elsewhere/a"), place.at("out/log")).unwrap();
    refused(folder.append("log", b"more"), &["out/log", "not a regular file"]);
    drop(folder);
    // The subfolder was replaced by a link after it was written: nothing behind it is ours.
    fs::remove_dir_all(place.at("out/sub")).unwrap();
    symlink(place.at("elsewhere"), place.at("out/sub")).unwrap();
    let folder = place.open("run");
    refused(folder.remove(&["sub/a".to_owned()]), &["out/sub", "symbolic link"]);
    drop(folder);
    assert_eq!(fs::read(place.at("elsewhere/a")).unwrap(), b"mine");
    // The folder itself may be a link, to a larger disk for example.
    symlink(place.at("elsewhere"), place.at("linked")).unwrap();
    let folder = OutputFolder::open(&place.at("linked"), "run").unwrap();
    folder.write("sub/a", b"ours").unwrap();
    folder.replace().unwrap();
    drop(folder);
    assert_eq!(names(&place.at("elsewhere")), ["a"]);
    // A link in place of the lock is not followed either.
    symlink(place.at("victim"), place.at("out/.striate.lock")).unwrap();
    let opened = OutputFolder::open(&place.at("out"), "run");
    refused(opened.map(drop), &[".striate.lock", "not a regular file"]);
    assert!(!place.at("victim").exists());
}

#[test]
fn only_one_process_has_the_folder_open() {
    let place = Place::new();
    let folder = place.open("run");
    let id = std::process::id().to_string();
    let second = OutputFolder::open(&place.at("out"), "run");
    refused(second.map(drop), &["out: in use by process", &id, " on ", "; wait"]);
    folder.write("a", b"a").unwrap();
    drop(folder);
    assert_eq!(names(&place.at("out")), [".striate.json", "a"]);
    // A killed process leaves its lock and a temporary file.
    place.put("out/.striate.lock", "process 1 on elsewhere\n");
    place.put("out/.striate-0123456789abcdef.part", "half");
    drop(place.open("run"));
    assert_eq!(names(&place.at("out")), [".striate.json", "a"]);
}

#[test]
fn dropping_removes_unused_folders_and_staged_files() {
    let place = Place::new();
    let folder = OutputFolder::open(&place.at("out/of/this"), "run").unwrap();
    folder.stage("sub/a", &|out| out.write_all(b"a")).unwrap();
    drop(folder);
    assert!(!place.at("out").exists());
    place.put("file", "mine");
    refused(OutputFolder::open(&place.at("file/x"), "run").map(drop), &["file: is a file"]);
    refused(OutputFolder::create(&place.at("file/x"), "run").map(drop), &["file: is a file"]);
    // A failed write keeps the old file.
    let folder = place.open("run");
    folder.write("a", b"1").unwrap();
    let full = || Err(ErrorKind::StorageFull.into());
    refused(folder.stage("a", &|_| full()), &["out/a: cannot write"]);
    drop(folder);
    assert_eq!(fs::read(place.at("out/a")).unwrap(), b"1");
}

#[test]
fn create_returns_none_for_an_existing_folder() {
    let place = Place::new();
    let first = OutputFolder::create(&place.at("runs/a"), "run").unwrap();
    assert!(first.is_some());
    assert!(OutputFolder::create(&place.at("runs/a"), "run").unwrap().is_none());
    drop(first);
    assert!(OutputFolder::create(&place.at("runs/a"), "run").unwrap().is_some());
}

#[test]
fn an_invalid_manifest_is_rejected() {
    let place = Place::new();
    for list in
        [r#"{"files":{"../x":"run"},"folders":{}}"#, r#"{"files":{"/x":"run"},"folders":{}}"#, "[]", "", "{"]
    {
        place.put("out/.striate.json", list);
        let opened = OutputFolder::open(&place.at("out"), "run");
        refused(opened.map(drop), &["out/.striate.json: is not a valid manifest"]);
        assert_eq!(names(&place.at("out")), [".striate.json"], "{list}");
    }
}

#[test]
fn files_without_a_manifest_can_be_adopted() {
    let place = Place::new();
    place.put("out/config.json", "{}");
    place.put("out/checkpoints/step-1", "1");
    place.put("out/mine", "mine");
    let folder = place.open("run");
    folder.adopt(["config.json", "model", "checkpoints/step-1"]).unwrap();
    folder.check(&["config.json", "checkpoints/"]).unwrap();
    folder.replace().unwrap();
    drop(folder);
    assert_eq!(names(&place.at("out")), ["mine"]);
}
