//go:build !race

package tollbar

const raceEnabled = false
