//! TLS: a certificate and its key out of files, read again when they change, so that
//! whoever renews them need not know of us.

use std::path::PathBuf;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use tokio::time::MissedTickBehavior;
use trunkline_domain::chain;

/// The largest file that is read. A chain of certificates has some 10 kB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where the certificate and its key are, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, with those that it hangs on behind it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// How often the files are looked at.
    pub check_interval: Duration,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// They do not belong together, or are not PEM.
    #[error(
        "{} and {} are not a certificate and its key in PEM", .certificate.display(), .key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said. Never a part of the key.
        #[source]
        source: std::io::Error,
    },
}

/// The certificate in use.
pub(super) struct Tls {
    files: TlsFiles,
    content: Content,
    pub(super) config: RustlsConfig,
}

#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    async fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate).await?,
            key: read(&files.key).await?,
        })
    }
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.clone(),
        source,
    };
    let found = tokio::fs::metadata(path).await.map_err(failed)?;
    // Others have no end, or none before somebody writes to them.
    if !found.is_file() {
        return Err(failed(std::io::Error::other("it is no regular file")));
    }
    if found.len() > MAX_FILE_BYTES {
        return Err(failed(std::io::Error::other("it is too large")));
    }
    tokio::fs::read(path).await.map_err(failed)
}

impl Tls {
    pub(super) async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let content = Content::read(&files).await?;
        let (certificate, key) = (content.certificate.clone(), content.key.clone());
        let config = RustlsConfig::from_pem(certificate, key).await;
        let config = config.map_err(|source| unusable(&files, source))?;
        Ok(Self {
            files,
            content,
            config,
        })
    }

    /// Takes what the files hold, whenever that has changed. Never ends. What cannot
    /// be used is said once, and what was in use before stays so.
    pub(super) async fn follow(mut self) -> std::convert::Infallible {
        let mut ticks = tokio::time::interval(self.files.check_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = None;
        loop {
            ticks.tick().await;
            match self.refresh().await {
                Ok(true) => tracing::info!("the API's certificate was exchanged"),
                Ok(false) => {}
                Err(error) => {
                    let text = chain(&error);
                    if said.as_ref() != Some(&text) {
                        tracing::error!(
                            error = text,
                            "the API keeps its certificate: the new one cannot be used"
                        );
                    }
                    said = Some(text);
                    continue;
                }
            }
            said = None;
        }
    }

    async fn refresh(&mut self) -> Result<bool, TlsError> {
        let content = Content::read(&self.files).await?;
        if content == self.content {
            return Ok(false);
        }
        let (certificate, key) = (content.certificate.clone(), content.key.clone());
        let reloaded = self.config.reload_from_pem(certificate, key).await;
        reloaded.map_err(|source| unusable(&self.files, source))?;
        self.content = content;
        Ok(true)
    }
}

fn unusable(files: &TlsFiles, source: std::io::Error) -> TlsError {
    TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    }
}
