//go:build !tollbar_static

package tollbar

// #cgo pkg-config: tollbar
import "C"
