// Command demo-app is both sides of a demonstration: a small HTTP service whose versions can be told apart and made to fail,
// and a load generator that records what every single request met.
//
//	VERSION=v2 FAIL_RATIO=0.2 demo-app serve
//	demo-app load --rate 200 --url http://127.0.0.1:8080/ --host shop.example --duration 60s --log requests.tsv
//
// It needs nothing but itself: built with CGO_ENABLED=0 it is the only file of its image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: demo-app serve | load [flags]

serve  answers with its VERSION and pod name; configured by the environment:
       VERSION, POD_NAME, PORT (8080), FAIL_RATIO (0 to 1), LATENCY (e.g. 20ms), DRAIN (e.g. 5s)
load   sends requests at a fixed rate to a loopback address; see: demo-app load --help
`

// usageError is a mistake in how the program was started; it exits with 2.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo-app:", err)
		var mistake usageError
		if errors.As(err, &mistake) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// run does what the arguments say until it is done or ctx ends.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError{"say what to do.\n" + usage}
	}
	switch args[0] {
	case "serve":
		options, err := serveOptionsFrom(os.LookupEnv)
		if err != nil {
			return err
		}
		return serve(ctx, options)
	case "load":
		return loadCommand(ctx, args[1:])
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return usageError{fmt.Sprintf("%q is not a mode.\n%s", args[0], usage)}
	}
}
