//! Two connections of this engine against each other, over real sockets and in one process.

mod audio;
mod channels;
mod encryption;
mod hostile;
mod negotiation;
mod network;
mod pair;
mod statistics;
mod tls;
mod tone;
