//! Tenants: read, sealed on the way, and changed.

mod actor;
mod change;
mod history;
mod import;
mod names;
mod new;
mod read;
mod record;
mod rotate;
mod row;
mod sealing;
mod strict;
mod twin;
mod update;

/// The longest page that is read at once.
const MAX_PAGE: u32 = 200;

pub use actor::{Actor, InnerUrls};
pub use change::{ChangeError, Enablement, Expected};
pub use history::{HistoryEntry, HistoryPage};
pub use import::{ImportAction, ImportError, ImportMode, Imported, RefusedImport, TenantImport};
pub use new::{AddError, NewTenant};
pub use record::{TenantFilter, TenantPage, TenantRecord, TenantSettings};
pub use rotate::{KeyUsage, Rotation};
pub use row::{RowProblem, TenantRow, Unopened};
pub use twin::Twin;
pub use update::TenantChange;

pub(crate) use read::{read_marks, read_rows};
