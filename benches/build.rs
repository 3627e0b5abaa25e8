//! Compiles the loops of the bench of the C ABI.

fn main() {
    println!("cargo:rerun-if-changed=c/calls.c");
    println!("cargo:rerun-if-changed=../include/tollbar.h");
    cc::Build::new()
        .file("c/calls.c")
        .include("../include")
        .std("c11")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("tollbar_bench_calls");
}
