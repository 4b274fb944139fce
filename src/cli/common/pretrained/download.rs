//! Downloads a file over HTTP: resumed where it broke off, and complete only if its SHA-256 is right.

use crate::cli::terminal::note;
use ring::digest::{Context, SHA256};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use striate::{Error, Result, read_file};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION};
use ureq::http::{Response, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// A file to download.
pub struct Remote {
    pub address: String,
    /// The first digits of its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Maximum size in bytes.
    pub limit: u64,
}

/// How long to wait for a server.
pub struct Patience {
    pub connect: Duration,
    /// The longest pause in which nothing arrives.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), stall: Duration::from_secs(30) }
    }
}

impl Remote {
    /// Checks a complete file.
    pub fn check(&self, path: &Path) -> Result<()> {
        let read = || Partial::open(path.to_owned(), OpenOptions::new().read(true));
        let found = read().map_err(Error::io(path, "read"))?.sha256();
        if found.starts_with(&self.sha256) {
            return Ok(());
        }
        let problem =
            format!("has the SHA-256 {found}, expected {}...; delete it and fetch it again", self.sha256);
        Err(Error::data(path, problem))
    }

    fn error(&self, to: &Path, problem: &str) -> Error {
        let problem = format!("{problem}, or download it by other means and put it at {}", to.display());
        Error::data(&self.address, problem)
    }
}

/// Downloads a file to `to`. What arrives is kept in a file beside it until it is complete, and the next call continues there.
/// `progress` gets the number of bytes that have arrived, and in total.
///
/// # Errors
///
/// [`Error::Data`] if the server cannot be reached, breaks off, or sends anything else than the file; [`Error::Io`] if the file
/// cannot be written.
pub fn download(
    remote: &Remote,
    to: &Path,
    patience: Patience,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    // Only our bug could name a file without a folder.
    let folder = to.parent().expect("files are stored in a folder");
    fs::create_dir_all(folder).map_err(Error::io(folder, "create the folder"))?;
    let _lock = lock(folder)?;
    if to.exists() {
        // Another process was faster.
        return Ok(());
    }
    let mut name = to.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(".part");
    let path = to.with_file_name(name);
    let mut part = Partial::open(path.clone(), OpenOptions::new().read(true).append(true).create(true))
        .map_err(Error::io(&path, "write"))?;
    if !part.sha256().starts_with(&remote.sha256) {
        let transfer = Transfer { remote, to, agent: agent(&patience)?, patience };
        transfer.run(&mut part, progress)?;
    }
    let found = part.sha256();
    if !found.starts_with(&remote.sha256) {
        part.discard();
        let problem = format!(
            "sent a file with the SHA-256 {found}, expected {}...; it was deleted. Try again",
            remote.sha256
        );
        return Err(remote.error(to, &problem));
    }
    part.file.sync_all().and_then(|()| fs::rename(&path, to)).map_err(Error::io(to, "write"))
}

/// Keeps other processes from downloading into the same folder, until the file is dropped.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::io(&path, "write"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            note(&format!("waiting for another process that downloads to {}", folder.display()));
            file.lock().map_err(Error::io(&path, "lock"))?;
        }
        // Some network file systems have no locks. Without one, two processes may spoil each other's download; the SHA-256 shows it.
        Err(TryLockError::Error(_)) => {}
    }
    Ok(file)
}

/// The part of a file that has arrived.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Context,
}

impl Partial {
    fn open(path: PathBuf, options: &OpenOptions) -> io::Result<Self> {
        let file = options.open(&path)?;
        let mut part = Self { path, file, length: 0, hash: Context::new(&SHA256) };
        let mut buffer = vec![0; CHUNK];
        loop {
            match part.file.read(&mut buffer)? {
                0 => return Ok(part),
                count => part.count(&buffer[..count]),
            }
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path, "write"))?;
        self.count(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(Error::io(&self.path, "write"))?;
        (self.length, self.hash) = (0, Context::new(&SHA256));
        Ok(())
    }

    fn sha256(&self) -> String {
        self.hash.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn discard(&self) {
        // If this fails, the next download checks the SHA-256 again.
        let _ = fs::remove_file(&self.path);
    }
}

const MAX_REDIRECTS: usize = 5;

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// One download.
struct Transfer<'a> {
    remote: &'a Remote,
    to: &'a Path,
    agent: Agent,
    patience: Patience,
}

impl Transfer<'_> {
    /// Appends what is missing to `part`.
    fn run(&self, part: &mut Partial, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut response = self.request(part.length)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && part.length > 0 {
            part.restart()?;
            response = self.request(0)?;
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, part.length) => {}
            StatusCode::OK => part.restart()?,
            status => return Err(self.error(&format!("the server answered {status}; try again later"))),
        }
        let announced = header(&response, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let total = announced.map_or(self.remote.limit, |length| part.length.saturating_add(length));
        if total > self.remote.limit {
            return Err(self.too_long());
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            progress(part.length, total);
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(part.length, error)),
            };
            if part.length + count as u64 > self.remote.limit {
                part.discard();
                return Err(self.too_long());
            }
            part.append(&buffer[..count])?;
        }
    }

    /// Requests the file from byte `from` on, following redirects.
    fn request(&self, from: u64) -> Result<Response<Body>> {
        let mut address = self.remote.address.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request_at(&address, from)?;
            let location = header(&response, LOCATION).filter(|_| response.status().is_redirection());
            match location {
                Some(location) => address = redirected(&address, location),
                None => return Ok(response),
            }
        }
        Err(self.error(&format!("redirects more than {MAX_REDIRECTS} times; check the address")))
    }

    fn request_at(&self, address: &str, from: u64) -> Result<Response<Body>> {
        if !is_allowed(address) {
            let problem = format!("{address:?} is neither https nor http on this machine; check the address");
            return Err(self.error(&problem));
        }
        let mut request = self.agent.get(address);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call().map_err(|error| {
            let problem = self.describe(&error);
            self.error(&format!(
                "cannot be fetched ({problem}); check the network and HTTPS_PROXY, and try again"
            ))
        })
    }

    fn broken(&self, length: u64, error: io::Error) -> Error {
        let problem = self.describe(&ureq::Error::from(error));
        self.error(&format!("broke off after {length} bytes ({problem}); try again, which continues there"))
    }

    fn too_long(&self) -> Error {
        let problem = format!(
            "sends more than {} bytes, so it is not the expected file; check the address",
            self.remote.limit
        );
        self.error(&problem)
    }

    fn describe(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(ureq::Timeout::PerRead) => {
                format!("nothing arrived for {} s", self.patience.stall.as_secs_f64())
            }
            ureq::Error::Timeout(ureq::Timeout::Connect) => {
                format!("no connection within {} s", self.patience.connect.as_secs_f64())
            }
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        }
    }

    fn error(&self, problem: &str) -> Error {
        self.remote.error(self.to, problem)
    }
}

/// An HTTP client, which uses the proxies that the environment names.
fn agent(patience: &Patience) -> Result<Agent> {
    let config = Agent::config_builder()
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("striate/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_per_read(Some(patience.stall))
        .timeout_per_write(Some(patience.stall))
        .tls_config(TlsConfig::builder().root_certs(roots()?).build());
    Ok(config.build().into())
}

/// Maximum size of a file of certificates.
const MAX_CERTIFICATES: u64 = 1 << 24;

/// The authorities to trust: those in the file `SSL_CERT_FILE`, as for proxies that inspect HTTPS, or else Mozilla's.
fn roots() -> Result<RootCerts> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) else {
        return Ok(RootCerts::WebPki);
    };
    let bytes = read_file(&path, MAX_CERTIFICATES)?;
    let certificates: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(Error::data(path, "has no PEM certificates; correct or unset SSL_CERT_FILE")),
        false => Ok(RootCerts::Specific(Arc::new(certificates))),
    }
}

/// Whether an address is https, or http on this machine.
fn is_allowed(address: &str) -> bool {
    let Ok(address) = address.parse::<Uri>() else { return false };
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match address.scheme_str() {
        Some("https") => true,
        Some("http") => is_local,
        _ => false,
    }
}

/// The address of a redirect, which may be relative to the scheme or to the server.
fn redirected(from: &str, location: &str) -> String {
    let scheme = from.split(':').next().unwrap_or_default();
    let server = from.match_indices('/').nth(2).map_or(from, |(end, _)| &from[..end]);
    match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{server}{location}"),
        _ => location.to_owned(),
    }
}

fn header(response: &Response<Body>, name: ureq::http::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// Whether a partial response starts at the byte that was requested.
fn starts_at(response: &Response<Body>, from: u64) -> bool {
    let range = header(response, CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split('-').next()?.parse().ok()) == Some(from)
}
