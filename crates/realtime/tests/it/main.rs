//! Sessions over real sockets, against a vendor that does as each test says.

mod model;
mod opening;
mod running;
mod vendor;
