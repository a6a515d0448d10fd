package main

// The load generator: an open loop, which sends on time whether or not earlier requests have been answered, as users do.
// It sends to loopback addresses only, and it ends by itself.

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxRate     = 5000
	maxDuration = 3 * time.Hour
	// maxInFlight bounds what a dead target can pile up; what is over it is recorded as not sent.
	maxInFlight = 4096
	// controlInterval is how often the control file is looked at.
	controlInterval = 100 * time.Millisecond
)

type loadOptions struct {
	url      *url.URL
	host     string
	header   headerFlag
	rate     float64
	duration time.Duration
	timeout  time.Duration
	phase    string
	control  string
	log      string
}

func loadCommand(ctx context.Context, args []string) error {
	options, err := parseLoadOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	requests := io.Discard
	if options.log != "" {
		file, err := os.Create(options.log)
		if err != nil {
			return fmt.Errorf("cannot write the request log: %w", err)
		}
		defer file.Close()
		requests = file
	}
	return load(ctx, options, os.Stdout, requests)
}

func parseLoadOptions(args []string) (loadOptions, error) {
	var options loadOptions
	flags := flag.NewFlagSet("demo-app load", flag.ContinueOnError)
	target := flags.String("url", "http://127.0.0.1:8080/", "where to send requests: a loopback address")
	flags.StringVar(&options.host, "host", "", "the Host header, by which a gateway finds the route")
	flags.Var(&options.header, "header", "one more header of each request, as in `NAME: VALUE`")
	flags.Float64Var(&options.rate, "rate", 100, fmt.Sprintf("requests per second, at most %d", maxRate))
	flags.DurationVar(&options.duration, "duration", time.Minute, fmt.Sprintf("how long, at most %s", maxDuration))
	flags.DurationVar(&options.timeout, "timeout", 5*time.Second, "when to give up on one request")
	flags.StringVar(&options.phase, "phase", "start", "name of the first phase")
	flags.StringVar(&options.control, "control", "", "file whose changed content names a new phase; SIGUSR1 starts a numbered one")
	flags.StringVar(&options.log, "log", "", "file that gets one line for every request")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return options, err
		}
		return options, usageError{err.Error()}
	}
	if flags.NArg() > 0 {
		return options, usageError{fmt.Sprintf("%q is not a flag; see demo-app load --help.", flags.Arg(0))}
	}
	if !(options.rate > 0 && options.rate <= maxRate) {
		return options, usageError{fmt.Sprintf("--rate must be above 0 and at most %d.", maxRate)}
	}
	if options.duration <= 0 || options.duration > maxDuration {
		return options, usageError{fmt.Sprintf("--duration must be above 0 and at most %s.", maxDuration)}
	}
	var err error
	options.url, err = loopbackURL(*target)
	return options, err
}

// headerFlag is a header as it is written on a command line.
type headerFlag struct{ name, value string }

func (h *headerFlag) String() string { return h.name + ": " + h.value }

func (h *headerFlag) Set(text string) error {
	name, value, found := strings.Cut(text, ":")
	h.name, h.value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !found || h.name == "" || strings.ContainsAny(h.name, " \t") {
		return fmt.Errorf("%q is no header; write it as in \"X-Tester: yes\"", text)
	}
	return nil
}

// loopbackURL refuses every target that is not this machine's loopback: load on any other is never intended.
func loopbackURL(text string) (*url.URL, error) {
	target, err := url.Parse(text)
	if err != nil || target.Scheme != "http" || target.Host == "" {
		return nil, usageError{fmt.Sprintf("--url must look like http://127.0.0.1:8080/, not %q.", text)}
	}
	name := target.Hostname()
	address := net.ParseIP(name)
	if name != "localhost" && (address == nil || !address.IsLoopback()) {
		return nil, usageError{fmt.Sprintf("--url names %s: only loopback addresses (127.0.0.0/8, ::1, localhost) are allowed.", name)}
	}
	return target, nil
}

// dialLoopback checks the address that a name led to as well: `localhost` is only a convention.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if remote, ok := connection.RemoteAddr().(*net.TCPAddr); !ok || !remote.IP.IsLoopback() {
		connection.Close()
		return nil, fmt.Errorf("%s is not a loopback address", connection.RemoteAddr())
	}
	return connection, nil
}

// load sends until the duration is over or ctx ends; reports go to out, every request to requests.
func load(ctx context.Context, options loadOptions, out, requests io.Writer) error {
	ctx, stop := context.WithTimeout(ctx, options.duration)
	defer stop()

	transport := &http.Transport{
		DialContext: dialLoopback, MaxIdleConns: maxInFlight, MaxIdleConnsPerHost: maxInFlight, DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: options.timeout,
		// A redirect is an answer like any other; following it could lead away from this machine.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	started := time.Now()
	results := make(chan result, maxInFlight)
	recorded := make(chan error, 1)
	phases := make(chan string, 16)
	go watchPhases(ctx, options.control, phases)
	go func() { recorded <- record(started, options.phase, results, out, requests) }()

	sendAll(ctx, options, client, started, phases, results)
	close(results)
	return <-recorded
}

// sendAll starts each request at its time and returns when the last one has ended.
func sendAll(ctx context.Context, options loadOptions, client *http.Client, started time.Time, phases <-chan string, results chan<- result) {
	var underWay sync.WaitGroup
	defer underWay.Wait()
	slots := make(chan struct{}, maxInFlight)
	interval := time.Duration(float64(time.Second) / options.rate)
	phase := options.phase
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); ; n++ {
		if time.Duration(n)*interval >= options.duration {
			return // A busy machine notices the end late; what was due after it is not sent.
		}
		due := started.Add(time.Duration(n) * interval)
		timer.Reset(time.Until(due))
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case phase = <-phases:
			case <-timer.C:
				waiting = false
			}
		}
		select {
		case slots <- struct{}{}:
		default:
			results <- result{phase: phase, offset: time.Since(started), failure: "not_sent"}
			continue
		}
		underWay.Add(1)
		go func(phase string) {
			defer underWay.Done()
			results <- send(client, options, phase, started, due)
			<-slots
		}(phase)
	}
}

// send makes one request and tells what came of it. Its latency counts from when it was due, so that a stall of the sender
// is not hidden.
func send(client *http.Client, options loadOptions, phase string, started, due time.Time) result {
	out := result{phase: phase, offset: time.Since(started)}
	connections := 0
	// Not the load's context: at the end the requests under way are still awaited, or their fate would be unknown.
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, options.url.String(), nil)
	if err != nil {
		out.failure = "invalid"
		return out
	}
	if options.host != "" {
		request.Host = options.host
	}
	if options.header.name != "" {
		request.Header.Set(options.header.name, options.header.value)
	}
	response, err := client.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
		response.Body.Close()
	}
	out.latency = time.Since(due)
	// The transport repeats a request whose kept connection turned out to be closed; that is counted, not hidden.
	out.retried = connections > 1
	if err != nil {
		out.failure = kindOf(err)
		return out
	}
	out.status = response.StatusCode
	out.version = response.Header.Get(versionHeader)
	if out.version == "" {
		// The service signs every answer, so this one is the gateway's own.
		out.failure = fmt.Sprintf("gateway_%d", out.status)
	}
	return out
}

// kindOf sorts the ways in which no answer came.
func kindOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return "other"
	}
}

// watchPhases sends the name of each new phase: on SIGUSR1, and whenever the control file's content has changed.
func watchPhases(ctx context.Context, control string, phases chan<- string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	ticker := time.NewTicker(controlInterval)
	defer ticker.Stop()
	last, number := readControl(control), 1
	for {
		name := ""
		select {
		case <-ctx.Done():
			return
		case <-signals:
			number++
			name = fmt.Sprintf("phase-%d", number)
		case <-ticker.C:
			if now := readControl(control); now != "" && now != last {
				last, name = now, now
			}
		}
		if name == "" {
			continue
		}
		select {
		case phases <- name:
		case <-ctx.Done():
			return
		}
	}
}

// readControl returns the name in the control file, "" where there is none yet.
func readControl(path string) string {
	if path == "" {
		return ""
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	name := strings.Join(strings.Fields(string(content)), "-")
	return name[:min(len(name), 64)]
}

// printJSON writes one line.
func printJSON(out io.Writer, value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = out.Write(append(line, '\n'))
	return err
}
