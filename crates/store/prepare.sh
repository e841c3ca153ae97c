#!/usr/bin/env bash
# Checks every query against a private Postgres with all migrations and writes
# what the compiler needs to know of it into .sqlx/. With --check nothing is
# written: it fails where .sqlx/ is out of date.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly data=crates/store/.sqlx

mode=write
case ${1:-} in
    '') ;;
    --check) mode=check ;;
    *)
        echo "usage: $0 [--check]" >&2
        exit 2
        ;;
esac

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

# The compiler does not know that the queries' outcome hangs on the database.
touch crates/store/src/lib.rs
cargo run --quiet --locked --package trunkline-testbed --bin with-postgres -- migrations \
    env SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" \
    cargo check --quiet --locked --package trunkline-store --lib
# What was just built was built against a database that is gone.
touch crates/store/src/lib.rs

if [[ $mode == check ]]; then
    diff -r "$data" "$fresh" >&2 || {
        echo "$data is out of date; run ./dev sqlx and commit it" >&2
        exit 1
    }
else
    mkdir -p "$data"
    find "$data" -name 'query-*.json' -delete
    cp "$fresh"/query-*.json "$data"
    echo "$(find "$data" -name 'query-*.json' | wc -l) queries checked; their data is in $data" >&2
fi
