//! Pages of a list. Where the next one begins is told by a key of the last item, not
//! by a number of items: what comes and goes meanwhile moves nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::problem::{FieldProblem, Problem};
use super::{MAX_PAGE_ITEMS, PAGE_ITEMS};

/// The longest cursor that is read, in bytes. One holds a slug and a name.
const MAX_CURSOR_BYTES: usize = 512;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// For `cursor` of the next request. `null`: this is the last page.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// A page out of `limit` + 1 items at the most: the one too many says that there
    /// is another page.
    pub(crate) fn cut<K: Serialize>(
        mut items: Vec<T>,
        limit: u32,
        key: impl FnOnce(&T) -> K,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.and_then(|item| encode(&key(item)));
        Self { items, next }
    }

    /// All there is.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page behind which the next one begins at a key; `None`: it is the last one.
    pub(crate) fn ending(items: Vec<T>, next: Option<&impl Serialize>) -> Self {
        let next = next.and_then(encode);
        Self { items, next }
    }

    /// The same page of other items.
    pub(crate) fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(change).collect(),
            next: self.next,
        }
    }
}

fn encode(key: &impl Serialize) -> Option<String> {
    let json = serde_json::to_vec(key).ok()?;
    Some(URL_SAFE_NO_PAD.encode(json))
}

/// The key that a page begins behind.
pub(crate) fn decode<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let decoded = (cursor.len() <= MAX_CURSOR_BYTES)
        .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())
        .flatten()
        // A key of ours holds no NUL, which the database would refuse.
        .filter(|json| !json.windows(6).any(|bytes| bytes == br"\u0000"))
        .and_then(|json| serde_json::from_slice(&json).ok());
    decoded.map(Some).ok_or_else(|| {
        Problem::invalid(vec![FieldProblem::new(
            "cursor",
            "is none of this list",
            "take it from \"next\" of the page before, or leave it out",
        )])
    })
}

/// How many items a page shall have.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(PAGE_ITEMS),
        Some(count) if (1..=MAX_PAGE_ITEMS).contains(&count) => Ok(count),
        Some(_) => Err(Problem::invalid(vec![FieldProblem::new(
            "limit",
            "is out of range",
            format!("it must be from 1 to {MAX_PAGE_ITEMS}"),
        )])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_begins_behind_the_last_item() {
        let page = Page::cut(vec![1, 2, 3], 2, |last| *last);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(decode::<i32>(page.next.as_deref()).unwrap(), Some(2));
        assert_eq!(Page::cut(vec![1, 2], 2, |last| *last).next, None);
        assert_eq!(Page::cut(Vec::<i32>::new(), 2, |last| *last).next, None);
    }

    #[test]
    fn a_cursor_of_somebodys_own_making_is_refused() {
        for bad in [
            "",
            "x",
            "!!",
            "bnVsbA",
            "WyJcdTAwMDAiLDFd",
            &"A".repeat(10_000),
        ] {
            assert!(decode::<(i32, i32)>(Some(bad)).is_err(), "{bad}");
        }
    }
}
