//! Makes cargo notice a new migration: the list is compiled into the crate.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
