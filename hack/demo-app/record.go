package main

// What became of the requests: one line per request in a file, one JSON line per second, and a summary by phase.

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strconv"
	"time"
)

// result is the fate of one request.
type result struct {
	phase   string
	offset  time.Duration
	latency time.Duration
	version string
	status  int
	// failure says why there is no answer of the service's: refused, reset, closed, timeout, not_sent, gateway_503, other.
	failure string
	retried bool
}

// tally counts results over a second or a phase.
type tally struct {
	Phase    string                    `json:"phase"`
	Requests int                       `json:"requests"`
	Versions map[string]map[string]int `json:"versions,omitempty"`
	Errors   map[string]int            `json:"errors,omitempty"`
	Retried  int                       `json:"retried,omitempty"`
	P50      float64                   `json:"p50_ms"`
	P99      float64                   `json:"p99_ms"`

	latencies []float64
}

func newTally(phase string) *tally {
	return &tally{Phase: phase, Versions: map[string]map[string]int{}, Errors: map[string]int{}}
}

func (t *tally) add(r result) {
	t.Requests++
	if r.retried {
		t.Retried++
	}
	if r.failure != "" {
		t.Errors[r.failure]++
	} else {
		codes := t.Versions[r.version]
		if codes == nil {
			codes = map[string]int{}
			t.Versions[r.version] = codes
		}
		codes[strconv.Itoa(r.status)]++
	}
	if r.status != 0 {
		t.latencies = append(t.latencies, float64(r.latency.Microseconds())/1000)
	}
}

// finish computes the percentiles.
func (t *tally) finish() *tally {
	sort.Float64s(t.latencies)
	t.P50, t.P99 = percentile(t.latencies, 0.50), percentile(t.latencies, 0.99)
	return t
}

// percentile takes the nearest rank of sorted values; 0 where there are none.
func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(share*float64(len(sorted))+0.999999) - 1
	return sorted[max(0, min(rank, len(sorted)-1))]
}

// second is one line of the report.
type second struct {
	Second int `json:"second"`
	*tally
}

// summary is the last line of the report.
type summary struct {
	Summary bool     `json:"summary"`
	Started string   `json:"started"`
	Seconds float64  `json:"seconds"`
	Total   *tally   `json:"total"`
	Phases  []*tally `json:"phases"`
}

// record takes all results until the channel is closed. Seconds are counted by when a request ended, phases by when it began,
// so that a failure belongs to the release that was under way when the user asked.
func record(started time.Time, firstPhase string, results <-chan result, out, requests io.Writer) error {
	log := bufio.NewWriterSize(requests, 1<<16)
	// The header names the columns and the wall clock, so that other logs can be laid beside this one.
	fmt.Fprintf(log, "# started %s\n# offset_us\tversion\tstatus\tlatency_us\tfailure\tphase\n", started.UTC().Format(time.RFC3339Nano))

	total, current, number := newTally("all"), newTally(firstPhase), 0
	byPhase, order := map[string]*tally{}, []*tally{}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case r, open := <-results:
			if !open {
				if current.Requests > 0 {
					if err := printJSON(out, second{number, current.finish()}); err != nil {
						return err
					}
				}
				for _, phase := range order {
					phase.finish()
				}
				end := summary{true, started.UTC().Format(time.RFC3339Nano), time.Since(started).Seconds(), total.finish(), order}
				if err := printJSON(out, end); err != nil {
					return err
				}
				return log.Flush()
			}
			if byPhase[r.phase] == nil {
				byPhase[r.phase] = newTally(r.phase)
				order = append(order, byPhase[r.phase])
			}
			byPhase[r.phase].add(r)
			total.add(r)
			current.add(r)
			current.Phase = r.phase
			fmt.Fprintf(log, "%d\t%s\t%d\t%d\t%s\t%s\n", r.offset.Microseconds(), orDash(r.version), r.status, r.latency.Microseconds(), orDash(r.failure), r.phase)
		case <-ticker.C:
			if err := printJSON(out, second{number, current.finish()}); err != nil {
				return err
			}
			number++
			current = newTally(current.Phase)
			if err := log.Flush(); err != nil {
				return fmt.Errorf("cannot write the request log: %w", err)
			}
		}
	}
}

// orDash keeps the columns of the log in place where there is nothing to say.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
