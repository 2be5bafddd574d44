//! Makes cargo notice a new migration: the template database is named after all of them.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
