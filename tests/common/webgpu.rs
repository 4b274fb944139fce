//! Runs scripts in headless Chromium with WebGPU on SwiftShader, its software adapter.

#![allow(dead_code, reason = "no test program uses everything")]

use super::browser::Browser;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Flags that turn WebGPU on, and a camera. The watchdog would end a GPU process that compiles for long, as SwiftShader does.
const FLAGS: [&str; 6] = [
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--disable-gpu-watchdog",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
];

/// Opens a page whose script posts a report to `/`, and returns the report. The page may fetch `files` by name.
pub fn report(browser: &Browser, page: &str, files: &[(&str, Vec<u8>)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let profile = tempfile::tempdir().unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut command = browser.command(profile.path());
    let mut chromium = command.args(FLAGS).arg(url).stderr(Stdio::null()).spawn().unwrap();
    let (sender, reports) = channel();
    let mut served = vec![("".to_owned(), page.as_bytes().to_vec())];
    served.extend(files.iter().map(|(name, content)| (name.to_string(), content.clone())));
    std::thread::spawn(move || serve(&listener, &served.into(), &sender));
    let report = loop {
        if let Ok(report) = reports.recv_timeout(Duration::from_millis(20)) {
            break report;
        }
        if let Some(status) = chromium.try_wait().unwrap() {
            panic!("Chromium ended with {status} before it reported");
        }
    };
    chromium.kill().unwrap();
    chromium.wait().unwrap();
    report
}

type Files = Arc<[(String, Vec<u8>)]>;

/// Serves the files and sends what is posted. Each connection has a thread, since browsers open some that they do not use.
fn serve(listener: &TcpListener, files: &Files, reports: &Sender<String>) {
    for stream in listener.incoming().flatten() {
        let (files, reports) = (files.clone(), reports.clone());
        std::thread::spawn(move || {
            // A connection that the browser closes early is no failure; the test fails if there is no report.
            if let Ok(Some(report)) = answer(stream, &files) {
                let _ = reports.send(report);
            }
        });
    }
}

/// Answers a request. Returns the body of a POST.
fn answer(mut stream: TcpStream, files: &Files) -> std::io::Result<Option<String>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && reader.read_until(b'\n', &mut head)? > 0 {}
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = String::new();
    reader.take(length.map_or(0, |n| n.trim().parse().unwrap())).read_to_string(&mut body)?;
    let name = head.strip_prefix("get /").and_then(|rest| rest.split(' ').next());
    let file = name.and_then(|name| files.iter().find(|(other, _)| other == name));
    let content = file.map_or(&[][..], |(_, content)| content);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        content.len()
    )?;
    stream.write_all(content)?;
    Ok(Some(body).filter(|_| head.starts_with("post ")))
}
