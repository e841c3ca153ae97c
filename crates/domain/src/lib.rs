//! What a tenant, a call and a call configuration are. No I/O, no clock.
