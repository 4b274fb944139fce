//! An HTTP server on this machine that answers as a test wants.

#![allow(dead_code, reason = "no test program uses everything")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The head of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The request line without the version, such as `GET /file`.
    pub line: String,
    /// The first byte of a `Range`.
    pub from: Option<usize>,
}

/// A server that runs until the test program ends.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a server; `answer` writes the whole response, head included. The connection is closed after it.
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || {
                    let mut stream = stream;
                    if let Some(request) = read_request(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// Serves one file under any name, with ranges.
    pub fn of(bytes: &'static [u8]) -> Self {
        Self::start(move |request, stream| whole(bytes, request, stream))
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let line = head.first()?.rsplit_once(' ')?.0.to_owned();
    let range = head.iter().find_map(|line| {
        let range = line.to_lowercase();
        range.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
    });
    Some(Request { line, from: range })
}

/// Writes a response. A client that has gone away is none of the server's business.
pub fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Answers as a good server does.
pub fn whole(bytes: &[u8], request: &Request, stream: &mut TcpStream) {
    let size = bytes.len();
    match request.from {
        Some(from) if from >= size => {
            respond(stream, "416 Range Not Satisfiable", &format!("Content-Range: bytes */{size}\r\n"), b"");
        }
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1);
            let length = format!("Content-Length: {}\r\n", size - from);
            respond(stream, "206 Partial Content", &(range + &length), &bytes[from..]);
        }
        None => respond(stream, "200 OK", &format!("Content-Length: {size}\r\n"), bytes),
    }
}
