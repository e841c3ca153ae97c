//! The store against a real Postgres.

mod bed;
mod call_configs;
mod calls;
mod errors;
mod feed;
mod history;
mod logs;
mod record;
mod refusals;
mod rotate;
mod schema;
mod sealing;
mod states;
mod tenants;
mod upgrade;
