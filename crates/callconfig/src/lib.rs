//! The lookup of one call's configuration, with its fallback ladder.
