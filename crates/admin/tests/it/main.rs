//! The API on a real database and real sockets. Every answer that a test gets is held
//! against the API's description, and searched for secrets.

mod access;
mod audit;
mod bed;
mod calls;
mod description;
mod events;
mod limits;
mod page;
mod problems;
mod refusals;
mod replica;
mod tenant_test;
mod tenants;
mod tls;
mod tokens;
