// Command scrapetargets tells Prometheus which pods want to be scraped: it watches pods and keeps a file of targets.
//
// It exists because Debian's Prometheus is built without Kubernetes service discovery. It speaks plain HTTP to the API
// server instead of using client-go, so that it builds in a second and its image stays small.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"time"
)

const (
	identity   = "/var/run/secrets/kubernetes.io/serviceaccount"
	annotation = "prometheus.io/"
	// A watch is opened anew before servers and proxies would end it.
	watchSeconds = 300
)

var notALabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

type pod struct {
	Metadata struct {
		Name              string
		Namespace         string
		Labels            map[string]string
		Annotations       map[string]string
		DeletionTimestamp string
	}
	Status struct {
		PodIP string
		Phase string
	}
}

type podList struct {
	Metadata struct{ ResourceVersion string }
	Items    []pod
}

type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func main() {
	output := flag.String("output", "/targets/pods.json", "file to keep")
	flag.Parse()
	for {
		if err := follow(*output); err != nil {
			log.Print(err)
			time.Sleep(time.Second)
		}
	}
}

// follow lists the pods, writes their targets, and returns when one of them has changed.
func follow(output string) error {
	response, err := get("/api/v1/pods?resourceVersion=0")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var pods podList
	if err := json.NewDecoder(response.Body).Decode(&pods); err != nil {
		return err
	}
	if err := write(output, targets(pods.Items)); err != nil {
		return err
	}
	changes, err := get(fmt.Sprintf("/api/v1/pods?watch=true&timeoutSeconds=%d&resourceVersion=%s",
		watchSeconds, pods.Metadata.ResourceVersion))
	if err != nil {
		return err
	}
	defer changes.Body.Close()
	if _, err := changes.Body.Read(make([]byte, 1)); err != nil && err != io.EOF {
		return err
	}
	// Pods come in crowds; one list serves them all.
	time.Sleep(200 * time.Millisecond)
	return nil
}

func get(path string) (*http.Response, error) {
	token, err := os.ReadFile(filepath.Join(identity, "token"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(identity, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{
		Timeout: (watchSeconds + 30) * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
	}
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequest(http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return response, nil
}

func targets(pods []pod) []target {
	found := []target{}
	for _, pod := range pods {
		wanted := pod.Metadata.Annotations
		if wanted[annotation+"scrape"] != "true" || pod.Status.PodIP == "" || pod.Status.Phase != "Running" ||
			pod.Metadata.DeletionTimestamp != "" {
			continue
		}
		port := wanted[annotation+"port"]
		if port == "" {
			port = "80"
		}
		labels := map[string]string{}
		for name, value := range pod.Metadata.Labels {
			labels[notALabel.ReplaceAllString(name, "_")] = value
		}
		labels["namespace"], labels["pod"] = pod.Metadata.Namespace, pod.Metadata.Name
		if path := wanted[annotation+"path"]; path != "" {
			labels["__metrics_path__"] = path
		}
		found = append(found, target{[]string{net.JoinHostPort(pod.Status.PodIP, port)}, labels})
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Targets[0] < found[j].Targets[0] })
	return found
}

// write replaces the file in one step and only when it differs, because Prometheus reads it at every change.
func write(output string, found []target) error {
	text, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(output); err == nil && string(old) == string(text) {
		return nil
	}
	fresh := output + ".new"
	if err := os.WriteFile(fresh, text, 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, output)
}
