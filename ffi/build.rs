//! Gives the shared library its SONAME: the file may be moved and renamed, what was linked with it finds it by this name.

/// Changes with each break of the ABI, as `tollbar_abi_version` does.
const SONAME: &str = "libtollbar.so.0";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{SONAME}");
    }
}
