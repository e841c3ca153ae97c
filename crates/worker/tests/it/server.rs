//! The server's side of the worker protocol, played by hand: what a real server
//! does only when it fails can be made to happen here.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use proto::{server_message::Message as FromServer, worker_message::Message as ToServer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What the server does with a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Takes it and answers its registration.
    Open,
    /// Takes it and leaves its registration unanswered.
    Mute,
    /// Answers the handshake with this status.
    Status(u16),
    /// Takes the TCP connection and says nothing.
    Swallow,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    door: watch::Sender<Door>,
    /// Connections that came, whatever became of them.
    pub(crate) seen: watch::Receiver<usize>,
    connections: mpsc::Receiver<Connection>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (door, doors) = watch::channel(door);
        let (count, seen) = watch::channel(0);
        let (sender, connections) = mpsc::channel(16);
        let task = TaskTracker::new().spawn(async move {
            let mut swallowed = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let door = *doors.borrow();
                let number = *count.borrow() + 1;
                match door {
                    Door::Swallow => swallowed.push(stream),
                    _ => {
                        if let Ok(connection) = Connection::accept(stream, door, number).await {
                            let _ = sender.send(connection).await;
                        }
                    }
                }
                count.send_modify(|n| *n += 1);
            }
        });
        Self {
            port,
            door,
            seen,
            connections,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn set(&self, door: Door) {
        self.door.send_replace(door);
    }

    /// The next connection that registered.
    pub(crate) async fn connection(&mut self) -> Connection {
        self.connections.recv().await.unwrap()
    }
}

pub(crate) struct Connection {
    socket: WebSocketStream<TcpStream>,
    pub(crate) path: String,
    pub(crate) bearer: String,
    pub(crate) register: proto::RegisterWorkerRequest,
}

impl Connection {
    async fn accept(stream: TcpStream, door: Door, number: usize) -> anyhow::Result<Self> {
        let head = Arc::new(parking_lot::Mutex::new((String::new(), String::new())));
        let seen = Arc::clone(&head);
        #[expect(
            clippy::result_large_err,
            reason = "the callback's type is the library's"
        )]
        let check = move |request: &Request, response: Response| match door {
            Door::Status(status) => {
                let mut refusal = ErrorResponse::new(Some("go away".to_owned()));
                *refusal.status_mut() = status.try_into().unwrap();
                Err(refusal)
            }
            _ => {
                let bearer = request.headers()["authorization"].to_str().unwrap();
                let bearer = bearer.strip_prefix("Bearer ").unwrap().to_owned();
                *seen.lock() = (request.uri().to_string(), bearer);
                Ok(response)
            }
        };
        let mut socket = accept_hdr_async(stream, check).await?;
        let first = read(&mut socket).await?;
        let ToServer::Register(register) = first else {
            bail!("the first message was {first:?}");
        };
        if door == Door::Open {
            let reply = FromServer::Register(proto::RegisterWorkerResponse {
                worker_id: format!("AW_{number}"),
                server_info: Some(proto::ServerInfo {
                    version: "1.13.5".into(),
                    ..Default::default()
                }),
                ..Default::default()
            });
            socket.send(frame(reply)).await?;
        }
        let (path, bearer) = head.lock().clone();
        Ok(Self {
            socket,
            path,
            bearer,
            register,
        })
    }

    /// The next message that is no repeated status.
    pub(crate) async fn next(&mut self) -> ToServer {
        read(&mut self.socket).await.unwrap()
    }

    /// Reads on to the next message that `pick` takes.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(ToServer) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.next().await) {
                return picked;
            }
        }
    }

    pub(crate) async fn offer(&mut self, job: &str) {
        self.send(FromServer::Availability(proto::AvailabilityRequest {
            job: Some(room_job(job)),
            resuming: false,
        }))
        .await;
    }

    pub(crate) async fn assign(&mut self, job: &str, url: Option<&str>) {
        self.send(FromServer::Assignment(proto::JobAssignment {
            job: Some(room_job(job)),
            url: url.map(str::to_owned),
            token: format!("token of {job}"),
        }))
        .await;
    }

    pub(crate) async fn terminate(&mut self, job: &str) {
        self.send(FromServer::Termination(proto::JobTermination {
            job_id: job.into(),
        }))
        .await;
    }

    pub(crate) async fn garbage(&mut self) {
        let frame = Message::Binary(vec![0xff; 64].into());
        self.socket.send(frame).await.unwrap();
    }

    async fn send(&mut self, message: FromServer) {
        self.socket.send(frame(message)).await.unwrap();
    }

    /// The answer to an offer.
    pub(crate) async fn answer(&mut self) -> (String, bool) {
        self.until(|message| match message {
            ToServer::Availability(answer) => Some((answer.job_id, answer.available)),
            _ => None,
        })
        .await
    }

    /// Offers, expects acceptance, assigns.
    pub(crate) async fn give(&mut self, job: &str) {
        self.offer(job).await;
        assert_eq!(self.answer().await, (job.to_owned(), true));
        self.assign(job, None).await;
    }

    /// Reads on until the worker's status is this.
    pub(crate) async fn status(
        &mut self,
        wanted: proto::WorkerStatus,
    ) -> proto::UpdateWorkerStatus {
        self.until(|message| match message {
            ToServer::UpdateWorker(status) => (status.status() == wanted).then_some(status),
            _ => None,
        })
        .await
    }

    /// Reads on until a job is reported with this status.
    pub(crate) async fn job(&mut self, job: &str, wanted: proto::JobStatus) {
        self.until(|message| match message {
            ToServer::UpdateJob(update) => {
                (update.job_id == job && update.status() == wanted).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Reads until the worker has closed the socket.
    pub(crate) async fn closed(&mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

fn room_job(id: &str) -> proto::Job {
    proto::Job {
        id: id.into(),
        room: Some(proto::Room {
            name: format!("room of {id}"),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn frame(message: FromServer) -> Message {
    let message = proto::ServerMessage {
        message: Some(message),
    };
    Message::Binary(message.encode_to_vec().into())
}

async fn read(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<ToServer> {
    loop {
        match socket.next().await.context("the worker went away")?? {
            Message::Binary(bytes) => {
                let message = proto::WorkerMessage::decode(bytes)?;
                return message.message.context("an empty message");
            }
            Message::Close(_) => bail!(tungstenite::Error::ConnectionClosed),
            _ => {}
        }
    }
}
