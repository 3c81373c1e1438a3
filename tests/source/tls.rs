//! Over real TLS: a certificate that this machine trusts is taken, any other is not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use wharf::source::{SourceError, TransportError};

use super::git::Repo;
use super::http_server::HttpServer;
use super::{open, told};

/// Makes a certificate for 127.0.0.1 in this directory.
fn make_certificate(directory: &Path) {
    let made = Command::new("openssl")
        .current_dir(directory)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "certificate.pem"])
        .output()
        .expect("openssl is missing; run scripts/install-test-tools");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Puts TLS in front of a plain server, one request a connection. Gives back the address.
fn put_in_front(plain: &HttpServer, directory: &Path) -> String {
    let certificate = CertificateDer::from_pem_file(directory.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let (config, behind) = (Arc::new(config), plain.address());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/repo/.git", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that does not believe the certificate hangs up.
            std::thread::spawn(move || drop(pass_on(stream, config, behind)));
        }
    });
    url
}

fn pass_on(stream: TcpStream, config: Arc<ServerConfig>, behind: std::net::SocketAddr) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut outside = StreamOwned::new(connection, stream);
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        let count = outside.read(&mut part)?;
        request.extend_from_slice(&part[..count]);
    }
    let (mut inside, mut answer) = (TcpStream::connect(behind)?, Vec::new());
    inside.write_all(&request)?;
    inside.read_to_end(&mut answer)?;
    outside.write_all(&answer)?;
    outside.conn.send_close_notify();
    outside.flush()
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

#[tokio::test]
async fn a_trusted_certificate_is_taken_and_another_is_not() {
    let (repo, state) = (Repo::new(), tempfile::tempdir().unwrap());
    let server = HttpServer::start(repo.parent());
    make_certificate(state.path());
    // A configuration needs the provider that `config` installs.
    drop(super::config(&server.url(), state.path()));
    let url = put_in_front(&server, state.path());

    let error = open(&url, state.path()).look().await.unwrap_err();
    let refused = matches!(&error, SourceError::Remote { source: TransportError::Unreachable { .. }, .. });
    assert!(refused && told(&error).contains("certificate"), "{}", told(&error));
    assert!(server.requests().is_empty());

    // What is trusted is read from the environment once, so this takes a process of its own.
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::looks_in_a_process_of_its_own", "--ignored"])
        .env("SSL_CERT_FILE", state.path().join("certificate.pem"))
        .env("WHARF_TEST_URL", &url)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(server.requests().len(), 2, "a list and a pack came through TLS");
}

#[tokio::test]
#[ignore = "run by the test above, in an environment of its own"]
async fn looks_in_a_process_of_its_own() {
    // Alone it has nothing to look at; the test above counts the requests it made.
    let Ok(url) = std::env::var("WHARF_TEST_URL") else { return };
    let state = tempfile::tempdir().unwrap();
    open(&url, state.path()).look().await.map_err(|error| told(&error)).unwrap();
}
