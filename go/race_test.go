//go:build race

package tollbar

const raceEnabled = true
