package main

import (
	"crypto/sha256"
	"errors"
	"log"
	"maps"
	"os"
	"sync"
	"time"

	"tollbar"
)

const (
	// look is how often the engine is asked whether there is something to log. The files are watched by the engine.
	look = 500 * time.Millisecond
	// quiet is how long the files must stay as they are before a reload that is asked for reads them: one that is being written may be empty,
	// which would switch authentication off.
	quiet    = 100 * time.Millisecond
	patience = 3 * time.Second
)

// reloader takes up changed configurations, and tells the operator: every attempt is logged once, whoever made it.
type reloader struct {
	engine *tollbar.Engine
	ended  chan struct{}

	mu   sync.Mutex
	last time.Time
}

func newReloader(engine *tollbar.Engine) *reloader {
	r := &reloader{engine: engine, ended: make(chan struct{})}
	if err := engine.Watch(tollbar.WatchOptions{}); err != nil {
		log.Printf("%v; until then, reload with SIGHUP", err)
	}
	go func() {
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.tell()
			case <-r.ended:
				return
			}
		}
	}()
	return r
}

func (r *reloader) stop() {
	close(r.ended)
	r.engine.StopWatching()
}

// reload reads the files once they are quiet.
func (r *reloader) reload(why string) {
	log.Printf("%s: reloading", why)
	before := r.contents()
	for begun := time.Now(); ; {
		time.Sleep(quiet)
		after := r.contents()
		if maps.Equal(before, after) {
			break
		}
		if before = after; time.Since(begun) > patience {
			log.Printf("%s: not reloaded: the files have kept changing for %v; try again", why, patience)
			return
		}
	}
	var wrong *tollbar.ConfigError
	if err := r.engine.Reload(); err != nil && !errors.As(err, &wrong) {
		log.Printf("%s: not reloaded: %v", why, err)
	}
	r.tell()
}

type content struct {
	modified time.Time
	sum      [sha256.Size]byte
}

func (r *reloader) contents() map[string]content {
	found := map[string]content{}
	for _, file := range r.engine.Files() {
		var c content
		if about, err := os.Stat(file); err == nil {
			c.modified = about.ModTime()
		}
		if data, err := os.ReadFile(file); err == nil {
			c.sum = sha256.Sum256(data)
		}
		found[file] = c
	}
	return found
}

func (r *reloader) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	records, err := r.engine.Reloads()
	if err != nil {
		return
	}
	for _, record := range records {
		if !record.Time.After(r.last) {
			continue
		}
		r.last = record.Time
		if record.Taken {
			log.Printf("configuration %d is in force; changed: %v", record.Generation, record.Changed)
			for _, warning := range r.engine.Warnings() {
				log.Print(warning)
			}
			continue
		}
		log.Print("configuration refused, the one before stays in force:")
		for _, p := range record.Problems {
			log.Printf("  %s:%d:%d: %s: found %s; accepted %s %s", p.File, p.Line, p.Column, p.Key, p.Found, p.Accepted, p.Hint)
		}
	}
}
