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

/// All files below a folder, with what is in them.
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
    let message = result.expect_err("it is refused").to_string();
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
}

#[test]
fn what_the_list_names_is_replaced_and_nothing_else() {
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
    assert!(!place.at("out/peaks").exists(), "it was ours, and is empty");
}

#[test]
fn what_is_not_ours_is_refused_and_stays() {
    let place = Place::new();
    place.put("out/index.html", "mine");
    place.put("out/classes/cat.png", "mine");
    place.put("out/folder/sub/x", "mine");
    fs::create_dir(place.at("out/empty")).unwrap();
    let before = all(&place.at("out"));
    let folder = place.open("page");
    refused(folder.check(&["index.html"]), &["out/index.html", "not written by striate", "move it away"]);
    refused(folder.check(&["new", "classes/"]), &["out/classes: holds files", "another folder"]);
    refused(folder.check(&["folder"]), &["out/folder: is a folder, but a file"]);
    refused(folder.check(&["index.html/"]), &["index.html: is a file, but a folder"]);
    folder.check(&["empty/", "new", "new/"]).unwrap();
    refused(folder.write("index.html", b""), &["not written by striate"]);
    refused(folder.write("index.html/x", b""), &["index.html: is a file"]);
    refused(folder.stage("classes/cat.png", &|_| Ok(())), &["not written by striate"]);
    folder.remove(&["index.html".to_owned()]).unwrap();
    for name in ["", "/etc/passwd", "../x", "a/../../x"] {
        refused(folder.write(name, b""), &["is no name of a file in a folder"]);
    }
    drop(folder);
    assert_eq!(all(&place.at("out")), before);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_but_for_the_folder_itself() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.put("elsewhere/a", "mine");
    place.put("out/x", "x");
    symlink(place.at("elsewhere"), place.at("out/link")).unwrap();
    let folder = place.open("run");
    refused(folder.check(&["link/"]), &["out/link", "symbolic link"]);
    refused(folder.write("link/a", b"ours"), &["out/link", "symbolic link"]);
    folder.write("sub/a", b"ours").unwrap();
    drop(folder);
    // The folder became a link after it was written: nothing behind it is ours.
    fs::remove_dir_all(place.at("out/sub")).unwrap();
    symlink(place.at("elsewhere"), place.at("out/sub")).unwrap();
    let folder = place.open("run");
    refused(folder.remove(&["sub/a".to_owned()]), &["out/sub", "symbolic link"]);
    drop(folder);
    assert_eq!(fs::read(place.at("elsewhere/a")).unwrap(), b"mine");
    // The folder may be one: as for a larger disk.
    symlink(place.at("elsewhere"), place.at("linked")).unwrap();
    let folder = OutputFolder::open(&place.at("linked"), "run").unwrap();
    folder.write("sub/a", b"ours").unwrap();
    folder.replace().unwrap();
    drop(folder);
    assert_eq!(names(&place.at("elsewhere")), ["a"]);
    // Nor is a link in place of the lock.
    symlink(place.at("victim"), place.at("out/.striate.lock")).unwrap();
    let opened = OutputFolder::open(&place.at("out"), "run");
    refused(opened.map(drop), &[".striate.lock", "no regular file"]);
    assert!(!place.at("victim").exists());
}

#[test]
fn one_at_a_time() {
    let place = Place::new();
    let folder = place.open("run");
    let id = std::process::id().to_string();
    let second = OutputFolder::open(&place.at("out"), "run");
    refused(second.map(drop), &["out: process", &id, " on ", "is writing there; wait"]);
    folder.write("a", b"a").unwrap();
    drop(folder);
    assert_eq!(names(&place.at("out")), [".striate.json", "a"]);
    // What a killed process leaves: its lock and a part.
    place.put("out/.striate.lock", "process 1 on elsewhere\n");
    place.put("out/.striate-0123456789abcdef.part", "half");
    drop(place.open("run"));
    assert_eq!(names(&place.at("out")), [".striate.json", "a"]);
}

#[test]
fn nothing_is_left_where_nothing_was_written() {
    let place = Place::new();
    let folder = OutputFolder::open(&place.at("out/of/this"), "run").unwrap();
    folder.stage("sub/a", &|out| out.write_all(b"a")).unwrap();
    drop(folder);
    assert!(!place.at("out").exists());
    place.put("file", "mine");
    refused(OutputFolder::open(&place.at("file/x"), "run").map(drop), &["file: is a file"]);
    refused(OutputFolder::create(&place.at("file/x"), "run").map(drop), &["file: is a file"]);
    // One that fails to be made whole leaves the earlier ones.
    let folder = place.open("run");
    folder.write("a", b"1").unwrap();
    let full = || Err(ErrorKind::StorageFull.into());
    refused(folder.stage("a", &|_| full()), &["out/a: cannot write"]);
    drop(folder);
    assert_eq!(fs::read(place.at("out/a")).unwrap(), b"1");
}

#[test]
fn a_new_folder_is_nobody_elses() {
    let place = Place::new();
    let first = OutputFolder::create(&place.at("runs/a"), "run").unwrap();
    assert!(first.is_some());
    assert!(OutputFolder::create(&place.at("runs/a"), "run").unwrap().is_none());
    drop(first);
    assert!(OutputFolder::create(&place.at("runs/a"), "run").unwrap().is_some());
}

#[test]
fn a_list_that_leads_elsewhere_is_refused() {
    let place = Place::new();
    for list in
        [r#"{"files":{"../x":"run"},"folders":{}}"#, r#"{"files":{"/x":"run"},"folders":{}}"#, "[]", "", "{"]
    {
        place.put("out/.striate.json", list);
        let opened = OutputFolder::open(&place.at("out"), "run");
        refused(opened.map(drop), &["out/.striate.json: does not list what"]);
        assert_eq!(names(&place.at("out")), [".striate.json"], "{list}");
    }
}

#[test]
fn files_without_a_list_can_be_taken_over() {
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
