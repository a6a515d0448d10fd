package main

// The service: answers with its version, fails and dawdles as it is told, and leaves without dropping a request.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// versionHeader tells who answered. An answer without it comes from the gateway.
const versionHeader = "X-Version"

type serveOptions struct {
	version   string
	pod       string
	address   string
	failRatio float64
	latency   time.Duration
	// drain is how long to go on serving after SIGTERM, so that whoever sends requests has time to learn of it.
	drain time.Duration
}

// serveOptionsFrom reads the options from the environment, which lookup stands for.
func serveOptionsFrom(lookup func(string) (string, bool)) (serveOptions, error) {
	text := func(name, fallback string) string {
		if value, found := lookup(name); found && value != "" {
			return value
		}
		return fallback
	}
	host, _ := os.Hostname()
	options := serveOptions{version: text("VERSION", "dev"), pod: text("POD_NAME", host), address: ":" + text("PORT", "8080")}

	var err error
	if options.failRatio, err = strconv.ParseFloat(text("FAIL_RATIO", "0"), 64); err != nil || !(options.failRatio >= 0 && options.failRatio <= 1) {
		return options, usageError{"FAIL_RATIO must be a number from 0 to 1, e.g. 0.2."}
	}
	if options.latency, err = lengthOf(text("LATENCY", "0s")); err != nil {
		return options, usageError{"LATENCY must be a length of time, e.g. 20ms."}
	}
	if options.drain, err = lengthOf(text("DRAIN", "5s")); err != nil {
		return options, usageError{"DRAIN must be a length of time, e.g. 5s."}
	}
	return options, nil
}

// lengthOf reads a length of time in Go's notation, or a plain number of seconds.
func lengthOf(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		text = strconv.FormatFloat(seconds, 'f', -1, 64) + "s"
	}
	length, err := time.ParseDuration(text)
	if err == nil && length < 0 {
		err = errors.New("negative")
	}
	return length, err
}

// service is the handler and its counters.
type service struct {
	options  serveOptions
	draining atomic.Bool
	served   atomic.Uint64

	mu      sync.Mutex
	byCode  map[int]uint64
	buckets []uint64
	seconds float64
	count   uint64
}

// bucketBounds are the upper bounds of the latency histogram in seconds.
var bucketBounds = []float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

func newService(options serveOptions) *service {
	return &service{options: options, byCode: map[int]uint64{}, buckets: make([]uint64, len(bucketBounds))}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(versionHeader, s.options.version)
	if s.draining.Load() {
		// Announced, not torn: the peer learns with its answer that this connection takes no further request.
		w.Header().Set("Connection", "close")
	}
	switch r.URL.Path {
	case "/healthz":
		if s.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	case "/metrics":
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fmt.Fprint(w, s.metrics())
	default:
		s.answer(w)
	}
}

// answer serves the request that all this is about.
func (s *service) answer(w http.ResponseWriter) {
	started := time.Now()
	code := http.StatusOK
	if fails(s.served.Add(1), s.options.failRatio) {
		code = http.StatusInternalServerError
	}
	if s.options.latency > 0 {
		time.Sleep(s.options.latency)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s %s\n", s.options.version, s.options.pod)
	s.note(code, time.Since(started).Seconds())
}

// fails says whether the n-th request (from 1) is one of the share that fails: evenly spread, without chance, so that a
// ratio of 0.2 fails exactly the 5th, 10th, 15th.
func fails(n uint64, ratio float64) bool {
	// The margin keeps products such as 10 x 0.1 from falling short of the whole number that they mean.
	const margin = 1e-9
	return math.Floor(float64(n)*ratio+margin) > math.Floor(float64(n-1)*ratio+margin)
}

func (s *service) note(code int, seconds float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byCode[code]++
	s.count++
	s.seconds += seconds
	for i, bound := range bucketBounds {
		if seconds <= bound {
			s.buckets[i]++
		}
	}
}

// metrics renders the counters in Prometheus' text format.
func (s *service) metrics() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := strconv.Quote(s.options.version)
	var out strings.Builder
	out.WriteString("# HELP http_requests_total Requests answered, by version and status code.\n# TYPE http_requests_total counter\n")
	codes := make([]int, 0, len(s.byCode))
	for code := range s.byCode {
		codes = append(codes, code)
	}
	sort.Ints(codes)
	for _, code := range codes {
		fmt.Fprintf(&out, "http_requests_total{version=%s,code=\"%d\"} %d\n", version, code, s.byCode[code])
	}
	out.WriteString("# HELP http_request_duration_seconds How long answers took.\n# TYPE http_request_duration_seconds histogram\n")
	for i, bound := range bucketBounds {
		fmt.Fprintf(&out, "http_request_duration_seconds_bucket{version=%s,le=\"%g\"} %d\n", version, bound, s.buckets[i])
	}
	fmt.Fprintf(&out, "http_request_duration_seconds_bucket{version=%s,le=\"+Inf\"} %d\n", version, s.count)
	fmt.Fprintf(&out, "http_request_duration_seconds_sum{version=%s} %g\n", version, s.seconds)
	fmt.Fprintf(&out, "http_request_duration_seconds_count{version=%s} %d\n", version, s.count)
	return out.String()
}

// serve listens until ctx ends, then drains.
func serve(ctx context.Context, options serveOptions) error {
	listener, err := net.Listen("tcp", options.address)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	fmt.Printf("demo-app: version %s on %s\n", options.version, listener.Addr())
	return serveOn(ctx, listener, options)
}

func serveOn(ctx context.Context, listener net.Listener, options serveOptions) error {
	handler := newService(options)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Endpoints and gateways learn of the end later than the pod does: until they have, this is still a good server.
	handler.draining.Store(true)
	time.Sleep(options.drain)
	last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return fmt.Errorf("requests were still under way at the end: %w", err)
	}
	return nil
}
