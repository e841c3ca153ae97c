//! Postgres: tenants, calls, sealed secrets, the change feed.
