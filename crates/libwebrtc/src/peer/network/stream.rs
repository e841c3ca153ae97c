//! A TCP connection, with or without TLS, that never blocks: what cannot be sent soon is dropped,
//! packet by packet, as a network would.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use tokio::net::TcpStream;

/// Bytes that may wait to be sent: a quarter of a second at 2 Mbit/s. What would be later than
/// that is of no use to media, and SCTP sends again what is lost.
const MAX_QUEUED: usize = 64 * 1024;

/// What is written to after it was emptied keeps this much room.
const KEPT: usize = 4 * 1024;

/// Bytes read at once.
pub(super) const CHUNK: usize = 8 * 1024;

pub(super) struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What waits to be sent, encrypted where it has to be, from `sent` on.
    queue: Vec<u8>,
    sent: usize,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Stream {
    pub(super) async fn connect(remote: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(remote).await?;
        // Packets are sent when they are due, not when there are many.
        tcp.set_nodelay(true)?;
        let local = tcp.local_addr()?;
        Ok(Self {
            tcp,
            tls: None,
            queue: Vec::new(),
            sent: 0,
            local,
            remote,
        })
    }

    /// Speaks TLS from here on. The handshake goes on while reading and writing.
    pub(super) fn secure(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        self.tls = Some(Box::new(tls));
        self.encrypt()
    }

    /// Queues a packet in its parts, whole or not at all.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub(super) fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.queue.len() - self.sent + length > MAX_QUEUED {
            log::trace!("a packet to {} finds no room", self.remote);
            return Ok(());
        }
        match &mut self.tls {
            Some(tls) => {
                for part in parts {
                    tls.writer().write_all(part)?;
                }
                self.encrypt()
            }
            None => {
                for part in parts {
                    self.queue.extend_from_slice(part);
                }
                Ok(())
            }
        }
    }

    /// Sends what the system takes.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.encrypt()?;
        while self.sent < self.queue.len() {
            match self.tcp.try_write(&self.queue[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.sent > MAX_QUEUED / 2 {
                        self.queue.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.queue.clear();
        self.queue.shrink_to(KEPT);
        self.sent = 0;
        Ok(())
    }

    /// Reads once and hands on what has come, decrypted. Answers whether there may be more.
    ///
    /// # Errors
    /// Where the connection is broken or over.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        let count = match self.tcp.try_read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(tls) = &mut self.tls else {
            each(&chunk[..count]);
            return Ok(true);
        };
        let mut cipher = &chunk[..count];
        let mut plain = [0; CHUNK];
        while !cipher.is_empty() {
            tls.read_tls(&mut cipher)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            loop {
                match tls.reader().read(&mut plain) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(count) => each(&plain[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        self.encrypt()?;
        Ok(true)
    }

    fn encrypt(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.queue)?;
            }
        }
        Ok(())
    }

    /// Ready when there is something to read, or room for what waits to be sent.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Both are asked, so that both wake. An error shows itself when reading.
        let read = self.tcp.poll_read_ready(cx).map(drop);
        let write = match self.sent < self.queue.len() {
            true => self.tcp.poll_write_ready(cx).map(drop),
            false => Poll::Pending,
        };
        if read.is_ready() { read } else { write }
    }
}
