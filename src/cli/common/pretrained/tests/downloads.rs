//! Downloads from a server that behaves well, badly, or not at all.

use super::server::{Request, Server, respond, whole};
use crate::cli::common::pretrained::download::{Patience, Remote, download};
use ring::digest::{SHA256, digest};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use striate::Result;
use tempfile::TempDir;

/// The file that servers should serve.
static FILE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect());
const HALF: usize = 150_000;

fn file() -> &'static [u8] {
    &FILE
}

fn length(bytes: usize) -> String {
    format!("Content-Length: {bytes}\r\n")
}

/// A folder to download to.
struct Store(TempDir);

impl Store {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn target(&self) -> PathBuf {
        self.0.path().join("weights/net-12345678.pth")
    }

    fn part(&self) -> PathBuf {
        self.0.path().join("weights/net-12345678.pth.part")
    }

    /// Puts a part of a file there, as an earlier download would.
    fn with_part(bytes: &[u8]) -> Self {
        let store = Self::new();
        fs::create_dir_all(store.part().parent().unwrap()).unwrap();
        fs::write(store.part(), bytes).unwrap();
        store
    }

    fn download(&self, server: &str) -> Result<()> {
        let found = digest(&SHA256, file());
        let sha256 = found.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let remote =
            Remote { address: format!("{server}/net.pth"), sha256, limit: file().len() as u64 + 1000 };
        let patience = Patience { connect: Duration::from_secs(5), stall: Duration::from_millis(300) };
        download(&remote, &self.target(), patience, &mut |done, total| assert!(done <= total))
    }

    #[track_caller]
    fn succeeds(&self, server: &Server) {
        self.download(&server.address).unwrap();
        assert!(fs::read(self.target()).unwrap() == file());
        assert!(!self.part().exists());
    }

    /// The download must fail with all of `words`, the address, and where to put the file; and leave no file that could be used.
    #[track_caller]
    fn fails(&self, address: &str, words: &[&str]) {
        let error = self.download(address).unwrap_err().to_string();
        let target = self.target().display().to_string();
        for word in words.iter().chain(&[address, "put it at", &target]) {
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
        assert!(!error.contains('\n') && !self.target().exists(), "{error}");
    }
}

/// A server that answers its first request in one way, and all others well.
fn bad_at_first(bad: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |request, stream| match count.fetch_add(1, Ordering::Relaxed) {
        0 => bad(stream),
        _ => whole(file(), request, stream),
    })
}

fn always(bad: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Server {
    Server::start(move |_, stream| bad(stream))
}

fn ranges(server: &Server) -> Vec<Option<usize>> {
    server.requests().iter().map(|request| request.from).collect()
}

#[test]
fn a_file_is_downloaded_once() {
    let (server, store) = (Server::of(file()), Store::new());
    store.succeeds(&server);
    store.succeeds(&server);
    assert_eq!(server.requests(), [Request { line: "GET /net.pth".to_owned(), from: None }]);
}

#[test]
fn a_download_that_broke_off_is_continued() {
    let server = bad_at_first(|stream| respond(stream, "200 OK", &length(file().len()), &file()[..HALF]));
    let store = Store::new();
    store.fails(&server.address, &["broke off after 150000 bytes", "try again, which continues there"]);
    assert!(fs::read(store.part()).unwrap() == file()[..HALF]);
    store.succeeds(&server);
    assert_eq!(ranges(&server), [None, Some(HALF)]);
}

#[test]
fn a_server_without_ranges_sends_the_file_again() {
    let server = always(|stream| respond(stream, "200 OK", &length(file().len()), file()));
    let store = Store::with_part(&file()[..HALF]);
    store.succeeds(&server);
    assert_eq!(ranges(&server), [Some(HALF)]);
}

#[test]
fn a_complete_part_needs_no_server() {
    let (server, store) = (Server::of(b"nothing"), Store::with_part(file()));
    store.succeeds(&server);
    assert!(server.requests().is_empty());
}

#[test]
fn a_part_that_is_too_long_is_replaced() {
    let (server, store) = (Server::of(file()), Store::with_part(&[1; 400_000]));
    store.succeeds(&server);
    assert_eq!(ranges(&server), [Some(400_000), None]);
}

#[test]
fn a_part_of_another_file_is_deleted() {
    let (server, store) = (Server::of(file()), Store::with_part(&[1; HALF]));
    store.fails(&server.address, &["SHA-256", "it was deleted"]);
    store.succeeds(&server);
}

#[test]
fn another_range_than_requested_is_refused() {
    let server = always(|stream| {
        let headers = length(HALF) + "Content-Range: bytes 0-149999/300000\r\n";
        respond(stream, "206 Partial Content", &headers, &file()[..HALF]);
    });
    let store = Store::with_part(&file()[..HALF]);
    store.fails(&server.address, &["206 Partial Content"]);
    assert!(fs::read(store.part()).unwrap() == file()[..HALF]);
}

#[test]
fn a_stalled_server_is_not_waited_for() {
    let pause = || thread::sleep(Duration::from_secs(20));
    let silent = always(move |_| pause());
    let halfway = bad_at_first(move |stream| {
        respond(stream, "200 OK", &length(file().len()), &file()[..HALF]);
        pause();
    });
    let start = Instant::now();
    Store::new().fails(&silent.address, &["cannot be fetched (nothing arrived for 0.3 s)"]);
    let store = Store::new();
    store.fails(&halfway.address, &["broke off after 150000 bytes (nothing arrived for 0.3 s)"]);
    store.succeeds(&halfway);
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_wrong_length_is_noticed() {
    let short = bad_at_first(|stream| respond(stream, "200 OK", &length(HALF), file()));
    let store = Store::new();
    store.fails(&short.address, &["SHA-256", "it was deleted"]);
    store.succeeds(&short);
    let long = always(|stream| respond(stream, "200 OK", &length(1 << 40), file()));
    Store::new().fails(&long.address, &["sends more than 301000 bytes"]);
    let absurd = always(|stream| respond(stream, "200 OK", "Content-Length: many\r\n", file()));
    Store::new().fails(&absurd.address, &["cannot be fetched"]);
    // Without a length, the end of the connection is the end of the file.
    let unknown = bad_at_first(|stream| respond(stream, "200 OK", "", &file()[..HALF]));
    let store = Store::new();
    store.fails(&unknown.address, &["SHA-256", "it was deleted"]);
    store.succeeds(&unknown);
    Store::new().succeeds(&always(|stream| respond(stream, "200 OK", "", file())));
}

#[test]
fn wrong_bytes_are_deleted() {
    let server = bad_at_first(|stream| {
        let mut bytes = file().to_vec();
        bytes[HALF] ^= 1;
        respond(stream, "200 OK", &length(bytes.len()), &bytes);
    });
    let store = Store::new();
    store.fails(&server.address, &["a file with the SHA-256", "expected", "it was deleted. Try again"]);
    assert!(!store.part().exists());
    store.succeeds(&server);
}

#[test]
fn endless_data_is_cut_off() {
    let server = always(|stream| {
        respond(stream, "200 OK", "", b"");
        while stream.write_all(&[7; 1 << 16]).is_ok() {}
    });
    let store = Store::new();
    store.fails(&server.address, &["sends more than 301000 bytes"]);
    assert!(!store.part().exists());
}

#[test]
fn failures_are_reported_with_their_status() {
    for status in ["404 Not Found", "403 Forbidden", "500 Internal Server Error", "503 Service Unavailable"] {
        let server = always(move |stream| respond(stream, status, &length(5), b"sorry"));
        Store::new().fails(&server.address, &[&format!("the server answered {status}")]);
        // A part is kept for later.
        let store = Store::with_part(&file()[..HALF]);
        store.fails(&server.address, &[status]);
        assert!(fs::read(store.part()).unwrap() == file()[..HALF]);
    }
    let server = always(|stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")));
    Store::new().fails(&server.address, &["cannot be fetched"]);
    let server = always(|_| {});
    Store::new().fails(&server.address, &["cannot be fetched"]);
}

#[test]
fn redirects_are_followed() {
    let server = Server::of(file());
    let location = format!("Location: {}/elsewhere\r\n{}", server.address, length(0));
    let redirect = always(move |stream| respond(stream, "302 Found", &location, b""));
    let store = Store::with_part(&file()[..HALF]);
    store.succeeds(&redirect);
    assert_eq!(server.requests(), [Request { line: "GET /elsewhere".to_owned(), from: Some(HALF) }]);
    for location in [
        "http://example.invalid/file",
        "ftp://127.0.0.1/file",
        "file:///etc/passwd",
        "//example.invalid/file",
    ] {
        let location = format!("Location: {location}\r\n{}", length(0));
        let away = always(move |stream| respond(stream, "301 Moved Permanently", &location, b""));
        Store::new().fails(&away.address, &[""]);
        assert_eq!(away.requests().len(), 1);
    }
    let circle = always(|stream| respond(stream, "302 Found", &(length(0) + "Location: /again\r\n"), b""));
    Store::new().fails(&circle.address, &["redirects more than 5 times"]);
}

#[test]
fn unreachable_servers_and_plain_http_are_errors() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Store::new().fails(&format!("http://{closed}"), &["cannot be fetched", "refused", "HTTPS_PROXY"]);
    Store::new().fails("http://example.invalid", &["neither https nor http on this machine"]);
    Store::new().fails("nonsense", &["neither https nor http on this machine"]);
}

#[test]
fn simultaneous_downloads_share_one() {
    let server = Server::start(|request, stream| {
        thread::sleep(Duration::from_millis(100));
        whole(file(), request, stream);
    });
    let store = Store::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.succeeds(&server));
        }
    });
    assert_eq!(server.requests().len(), 1);
}
