# To be sourced at the root: stages the library as `make install` would, and tells cgo and the loader where.
go_stage=$PWD/target/go/stage
PREFIX=$go_stage scripts/install.sh
export PKG_CONFIG_PATH=$go_stage/lib/pkgconfig LD_LIBRARY_PATH=$go_stage/lib
# With the build tag tollbar_static, the library is taken from where cargo put it.
export CGO_LDFLAGS="-O2 -g -L${CARGO_TARGET_DIR:-$PWD/target}/release"
