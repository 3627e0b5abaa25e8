package tollbar

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var blocks = regexp.MustCompile("(?s)```go\n(.*?)```")

// Every program of the READMEs is run: it must end well. What is no whole program must be part of one that can be built.
func TestTheProgramsOfTheREADMEsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	ran := 0
	for _, file := range []string{"../README.md", "README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range blocks.FindAllStringSubmatch(string(text), -1) {
			ran++
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(filepath.Dir(file)), i), func(t *testing.T) { run(t, block[1]) })
		}
	}
	if ran < 3 {
		t.Errorf("only %d programs were found", ran)
	}
}

// run runs a program as if it stood in this module: by an overlay, so that nothing is written here.
func run(t *testing.T, program string) {
	if !strings.Contains(program, "package main") {
		t.Fatal("that is no whole program")
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	main := filepath.Join(folder, "main.go")
	overlay := filepath.Join(folder, "overlay.json")
	config := filepath.Join(folder, "tollbar.yml")
	replaced, _ := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "readmeprogram", "main.go"): main}})
	for name, data := range map[string][]byte{main: []byte(program), overlay: replaced, config: []byte(shop)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(folder, "program")
	// Built as this test is: what it depends on has been compiled already.
	build := []string{"build", "-overlay", overlay, "-o", binary, "./readmeprogram"}
	if raceEnabled {
		build = slices.Insert(build, 1, "-race")
	}
	if out, err := exec.Command("go", build...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	command := exec.Command(binary)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
