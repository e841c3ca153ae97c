//! Tenants: read, sealed on the way, and changed.

mod change;
mod read;
mod rotate;
mod row;
mod sealing;

pub use change::{AddError, ChangeError, Enablement, NewTenant};
pub use rotate::{KeyUsage, Rotation};
pub use row::{RowProblem, TenantRow, Unopened};

pub(crate) use read::{read_marks, read_rows};
