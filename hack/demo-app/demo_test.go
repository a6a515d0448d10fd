package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The share of failures is exact and evenly spread.
func TestFailsEveryNth(t *testing.T) {
	for _, ratio := range []float64{0, 0.01, 0.1, 0.2, 0.25, 1.0 / 3, 0.5, 0.9, 1} {
		failed := 0
		for n := uint64(1); n <= 3000; n++ {
			if fails(n, ratio) {
				failed++
			}
		}
		if want := int(3000*ratio + 0.5); failed != want {
			t.Errorf("ratio %g: %d of 3000 failed, want %d", ratio, failed, want)
		}
	}
	if fails(4, 0.2) || !fails(5, 0.2) || fails(6, 0.2) {
		t.Error("a ratio of 0.2 must fail the 5th request and not its neighbours")
	}
}

// Options out of range are refused with a sentence that names them.
func TestServeOptions(t *testing.T) {
	for name, value := range map[string]string{"FAIL_RATIO": "1.5", "LATENCY": "soon", "DRAIN": "-1s"} {
		_, err := serveOptionsFrom(func(asked string) (string, bool) { return value, asked == name })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: got %v", name, value, err)
		}
	}
	options, err := serveOptionsFrom(func(asked string) (string, bool) { return "3", asked == "DRAIN" })
	if err != nil || options.drain != 3*time.Second {
		t.Errorf("DRAIN=3 must mean three seconds, got %v, %v", options.drain, err)
	}
}

// Every answer carries the version, and the counters agree with the answers.
func TestServeAnswersAndCounts(t *testing.T) {
	handler := newService(serveOptions{version: "v2", pod: "p-1", failRatio: 0.5})
	for range 4 {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		if answer.Header().Get(versionHeader) != "v2" || answer.Body.String() != "v2 p-1\n" {
			t.Fatalf("unexpected answer: %v %q", answer.Header(), answer.Body)
		}
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`http_requests_total{version="v2",code="200"} 2`, `http_requests_total{version="v2",code="500"} 2`,
		`http_request_duration_seconds_count{version="v2"} 4`,
	} {
		if !strings.Contains(answer.Body.String(), line) {
			t.Errorf("%s is missing in\n%s", line, answer.Body)
		}
	}
}

// After SIGTERM the service stops reporting ready, answers on, and tells each connection to close.
func TestServeDrains(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serveOn(ctx, listener, serveOptions{version: "v1", drain: 2 * time.Second}) }()
	base := "http://" + listener.Addr().String()
	status := func(path string) (int, bool) {
		response, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.Close
	}
	if code, _ := status("/healthz"); code != http.StatusOK {
		t.Fatalf("ready before the end: %d", code)
	}
	stop()
	time.Sleep(200 * time.Millisecond)
	if code, _ := status("/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("not ready while draining: %d", code)
	}
	if code, closes := status("/"); code != http.StatusOK || !closes {
		t.Errorf("still serving while draining, and closing: %d, %v", code, closes)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Load is refused to anything but the loopback.
func TestLoadRefusesOtherAddresses(t *testing.T) {
	for _, target := range []string{"http://10.0.0.1/", "http://192.168.1.1:8080/", "http://example.org/", "http://[2001:db8::1]/", "http://0.0.0.0/", "https://127.0.0.1/", "127.0.0.1"} {
		if _, err := parseLoadOptions([]string{"--url", target}); err == nil {
			t.Errorf("%s was accepted", target)
		}
	}
	for _, target := range []string{"http://127.0.0.1:8080/", "http://127.9.9.9/", "http://localhost/", "http://[::1]:80/"} {
		if _, err := parseLoadOptions([]string{"--url", target}); err != nil {
			t.Errorf("%s was refused: %v", target, err)
		}
	}
}

// Rates and durations without a bound are refused.
func TestLoadIsBounded(t *testing.T) {
	for _, args := range [][]string{{"--rate", "0"}, {"--rate", "100000"}, {"--rate", "NaN"}, {"--duration", "0s"}, {"--duration", "48h"}, {"surplus"}} {
		if _, err := parseLoadOptions(args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

// runLoad runs the generator against a URL and returns the summary and the request log's lines.
func runLoad(t *testing.T, options loadOptions) (summary, []string) {
	t.Helper()
	var out, log bytes.Buffer
	if err := load(context.Background(), options, &out, &log); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var end summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || !end.Summary {
		t.Fatalf("the last line is no summary: %v\n%s", err, out.String())
	}
	return end, strings.Split(strings.TrimSpace(log.String()), "\n")
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	target, err := loopbackURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// Requests leave at the rate asked for, and every one of them is in the summary and in the log.
func TestLoadRecordsEveryRequest(t *testing.T) {
	server := httptest.NewServer(newService(serveOptions{version: "v1", pod: "p", failRatio: 0.1}))
	defer server.Close()
	end, log := runLoad(t, loadOptions{url: mustURL(t, server.URL), rate: 200, duration: time.Second, timeout: 5 * time.Second, phase: "start"})
	// A busy machine may cut the last ones off; it never makes more.
	if end.Total.Requests < 150 || end.Total.Requests > 201 {
		t.Errorf("%d requests in one second at rate 200", end.Total.Requests)
	}
	ok, failed := end.Total.Versions["v1"]["200"], end.Total.Versions["v1"]["500"]
	if ok+failed != end.Total.Requests || failed != end.Total.Requests/10 {
		t.Errorf("%d ok and %d failed of %d", ok, failed, end.Total.Requests)
	}
	if len(log) != end.Total.Requests+2 {
		t.Errorf("%d lines in the log for %d requests", len(log)-2, end.Total.Requests)
	}
	if fields := strings.Split(log[2], "\t"); len(fields) != 6 || fields[1] != "v1" || fields[5] != "start" {
		t.Errorf("unexpected line %q", log[2])
	}
}

// Slow answers do not slow the sender down.
func TestLoadIsAnOpenLoop(t *testing.T) {
	server := httptest.NewServer(newService(serveOptions{version: "v1", latency: 400 * time.Millisecond}))
	defer server.Close()
	end, _ := runLoad(t, loadOptions{url: mustURL(t, server.URL), rate: 100, duration: time.Second, timeout: 10 * time.Second, phase: "start"})
	if end.Total.Requests < 60 || end.Total.P50 < 400 {
		t.Errorf("%d requests, p50 %g ms", end.Total.Requests, end.Total.P50)
	}
}

// Failures are told apart: the gateway's own answers, refused connections, broken ones and timeouts.
func TestLoadSortsFailures(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer gateway.Close()
	torn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, _ := w.(http.Hijacker).Hijack()
		_ = connection.(*net.TCPConn).SetLinger(0)
		connection.Close()
	}))
	defer torn.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(500 * time.Millisecond) }))
	defer slow.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for target, want := range map[string]string{gateway.URL: "gateway_503", torn.URL: "reset", slow.URL: "timeout", closed.URL: "refused"} {
		timeout := 10 * time.Second
		if target == slow.URL {
			timeout = 100 * time.Millisecond
		}
		end, _ := runLoad(t, loadOptions{url: mustURL(t, target), rate: 20, duration: 300 * time.Millisecond, timeout: timeout, phase: "start"})
		if end.Total.Errors[want] != end.Total.Requests {
			t.Errorf("want only %s, got %v of %d", want, end.Total.Errors, end.Total.Requests)
		}
	}
}

// A changed control file starts a phase, and its failures are counted there.
func TestLoadCountsByPhase(t *testing.T) {
	server := httptest.NewServer(newService(serveOptions{version: "v1"}))
	defer server.Close()
	control := filepath.Join(t.TempDir(), "phase")
	go func() {
		time.Sleep(400 * time.Millisecond)
		_ = os.WriteFile(control, []byte("release 2\n"), 0o600)
	}()
	end, _ := runLoad(t, loadOptions{url: mustURL(t, server.URL), rate: 100, duration: time.Second, timeout: 5 * time.Second, phase: "start", control: control})
	if len(end.Phases) != 2 || end.Phases[0].Phase != "start" || end.Phases[1].Phase != "release-2" {
		t.Fatalf("unexpected phases: %+v", end.Phases)
	}
	if sum := end.Phases[0].Requests + end.Phases[1].Requests; sum != end.Total.Requests || end.Phases[1].Requests == 0 {
		t.Errorf("%d + %d of %d", end.Phases[0].Requests, end.Phases[1].Requests, end.Total.Requests)
	}
}

// The Host header is the route's, not the target's.
func TestLoadSendsHost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set(versionHeader, r.Host) }))
	defer server.Close()
	end, _ := runLoad(t, loadOptions{url: mustURL(t, server.URL), host: "shop.example", rate: 50, duration: 200 * time.Millisecond, timeout: 5 * time.Second, phase: "start"})
	if end.Total.Versions["shop.example"]["200"] != end.Total.Requests {
		t.Errorf("unexpected hosts: %v", end.Total.Versions)
	}
}

// The header that is asked for is sent along with each request, and what is none is refused.
func TestLoadSendsHeader(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set(versionHeader, r.Header.Get("X-Tester")) }))
	defer server.Close()
	options, err := parseLoadOptions([]string{"--url", server.URL, "--rate", "50", "--duration", "200ms", "--header", "X-Tester: yes"})
	if err != nil {
		t.Fatal(err)
	}
	end, _ := runLoad(t, options)
	if end.Total.Versions["yes"]["200"] != end.Total.Requests {
		t.Errorf("unexpected headers: %v", end.Total.Versions)
	}
	for _, text := range []string{"X-Tester", ": yes", "X Tester: yes"} {
		if _, err := parseLoadOptions([]string{"--header", text}); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// Percentiles are nearest ranks.
func TestPercentile(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if percentile(values, 0.5) != 5 || percentile(values, 0.99) != 10 || percentile(nil, 0.5) != 0 {
		t.Error("percentiles are off")
	}
}
