//! All tenants as they were read last, brought up to date row by row. Pure.
//!
//! With thousands of tenants, to read and unseal all of them for the change of one
//! would take longer than the change may. A notice names the row; a reconcile compares
//! versions, which are small.

use std::collections::{BTreeMap, HashMap};

use trunkline_domain::{TenantId, TenantVersion};

use crate::tenants::{RowProblem, TenantRow};

/// What a reconcile learns of each row, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowMark {
    pub(crate) id: TenantId,
    pub(crate) version: TenantVersion,
    /// A secret is in clear: it is to be sealed, whatever the version.
    pub(crate) is_clear: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    rows: BTreeMap<TenantId, TenantRow>,
}

impl Picture {
    /// The rows whose content must be read so that the picture is that of `marks`.
    /// Rows that are not among them are gone.
    pub(crate) fn compare(&mut self, marks: &[RowMark]) -> Vec<TenantId> {
        let present: HashMap<TenantId, RowMark> =
            marks.iter().map(|mark| (mark.id, *mark)).collect();
        self.rows.retain(|id, _| present.contains_key(id));
        let is_due = |mark: &&RowMark| {
            mark.is_clear
                || self
                    .rows
                    .get(&mark.id)
                    .is_none_or(|row| row.version != mark.version || may_mend_itself(row))
        };
        marks.iter().filter(is_due).map(|mark| mark.id).collect()
    }

    /// `asked` were read, and `rows` are those of them that there are.
    pub(crate) fn put(&mut self, asked: &[TenantId], rows: Vec<TenantRow>) {
        for id in asked {
            self.rows.remove(id);
        }
        self.rows.extend(rows.into_iter().map(|row| (row.id, row)));
    }

    /// All of them, by slug.
    pub(crate) fn tenants(&self) -> Vec<TenantRow> {
        let mut tenants: Vec<TenantRow> = self.rows.values().cloned().collect();
        tenants.sort_by(|a, b| a.slug.cmp(&b.slug));
        tenants
    }
}

/// A secret that does not open is sealed anew without a new version, when keys are
/// rotated.
fn may_mend_itself(row: &TenantRow) -> bool {
    matches!(row.tenant, Err(RowProblem::Unsealable(..)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use trunkline_domain::{Tenant, TenantFields};
    use uuid::Uuid;

    use super::*;
    use crate::seal::OpenError;
    use crate::tenants::Unopened;

    fn id(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    fn row(number: u128, slug: &str, version: i64) -> TenantRow {
        let fields = TenantFields::new(id(number), slug, "wss://l.example", "key", "secret".into());
        TenantRow {
            id: id(number),
            slug: slug.to_owned(),
            version: TenantVersion(version),
            enabled: true,
            updated_at: DateTime::UNIX_EPOCH,
            tenant: Ok(Arc::new(Tenant::try_from(fields).unwrap())),
        }
    }

    fn mark(number: u128, version: i64) -> RowMark {
        RowMark {
            id: id(number),
            version: TenantVersion(version),
            is_clear: false,
        }
    }

    fn slugs(picture: &Picture) -> Vec<String> {
        let tenants = picture.tenants().into_iter();
        tenants.map(|row| row.slug).collect()
    }

    #[test]
    fn what_is_new_or_changed_is_read_and_what_is_gone_is_forgotten() {
        let mut picture = Picture::default();
        assert_eq!(
            picture.compare(&[mark(1, 1), mark(2, 2), mark(3, 3)]),
            [id(1), id(2), id(3)]
        );
        let all = [id(1), id(2), id(3)];
        let rows = vec![row(1, "b", 1), row(2, "a", 2), row(3, "c", 3)];
        picture.put(&all, rows);
        assert_eq!(slugs(&picture), ["a", "b", "c"]);

        assert_eq!(picture.compare(&[mark(1, 9), mark(3, 3)]), [id(1)]);
        assert_eq!(slugs(&picture), ["b", "c"]);
        picture.put(&[id(1)], vec![row(1, "z", 9)]);
        assert_eq!(slugs(&picture), ["c", "z"]);
        // Asked for by a notice, and not there.
        picture.put(&[id(1)], Vec::new());
        assert_eq!(slugs(&picture), ["c"]);
    }

    #[test]
    fn clear_text_and_what_does_not_open_are_read_again_whatever_the_version() {
        let mut picture = Picture::default();
        let unopened = Unopened {
            column: "livekit_api_secret",
            problem: OpenError::UnknownKey { id: "k".into() },
        };
        let broken = TenantRow {
            tenant: Err(RowProblem::Unsealable(vec![unopened], None)),
            ..row(1, "a", 1)
        };
        picture.put(&[], vec![broken, row(2, "b", 2)]);
        let clear = RowMark {
            is_clear: true,
            ..mark(2, 2)
        };
        assert_eq!(picture.compare(&[mark(1, 1), mark(2, 2)]), [id(1)]);
        assert_eq!(picture.compare(&[mark(1, 1), clear]), [id(1), id(2)]);
    }
}
