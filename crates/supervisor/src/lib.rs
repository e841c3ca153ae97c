//! Desired tenants against running workers.
