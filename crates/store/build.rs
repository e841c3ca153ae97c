//! Rebuilds the crate when a migration is added or a query's data changes: the
//! macros that read them cannot say so themselves.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
    println!("cargo:rerun-if-changed=.sqlx");
}
